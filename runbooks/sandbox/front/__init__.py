"""The address of an instance: TLS, its rules, the connector's port, and the way to whichever cluster serves it now."""
