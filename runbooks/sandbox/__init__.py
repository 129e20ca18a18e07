"""A Google Cloud on one machine, whose Cloud SQL moves real data with real PostgreSQL."""
