"""What a client sent, read into values, or refused in sentences by field."""
