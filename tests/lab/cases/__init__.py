"""The tests: one module a subject, one function a test."""
