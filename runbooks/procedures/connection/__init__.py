"""The layers between here and the application's `SELECT 1`, each with its test; in the order in which they are met."""
