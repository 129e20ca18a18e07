"""The procedure engine: steps that are declared, journalled, guarded and reported. The procedures are beside it."""
