"""What all systems share: principals, API keys, the audit log."""
