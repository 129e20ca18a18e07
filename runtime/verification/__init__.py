"""The gate that a restored instance has to pass, and what is around it: a throwaway instance, and the record."""
