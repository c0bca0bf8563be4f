"""What stands before and inside LocalStack, run by LocalStack's own interpreter; it imports nothing else of ours."""
