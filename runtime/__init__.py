"""The deployed half of Holdfast: settings, database, the systems' data, API and jobs."""

__version__ = "0.1.0"
