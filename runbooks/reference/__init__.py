"""The references that are made from the code: the OpenAPI document, API.md and SCHEMA.md."""
