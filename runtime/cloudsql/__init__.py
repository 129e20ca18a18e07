"""The Cloud SQL Admin API, thin and typed: what the verification job and the procedures share."""
