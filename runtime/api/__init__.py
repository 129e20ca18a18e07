"""The HTTP side: the application, authentication, problems, cursors, health."""
