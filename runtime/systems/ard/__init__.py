"""ARD Intelligence: experiments, campaigns, AI queries, noise and routing."""
