"""The platform on this machine: real PostgreSQL, real Valkey and the API, in one folder, by one command."""
