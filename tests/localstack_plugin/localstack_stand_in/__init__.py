"""Stands in, inside LocalStack, for the kinds of resource that it lacks. See the README beside this package."""
