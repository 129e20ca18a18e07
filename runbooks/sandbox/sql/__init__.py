"""The Cloud SQL Admin API, v1 and v1beta4, on real PostgreSQL."""
