"""Connections, statements, migrations and roles."""
