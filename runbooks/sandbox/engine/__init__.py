"""Real PostgreSQL for the sandbox: clusters, WAL archives, backups, recovery and standbys. No HTTP here."""
