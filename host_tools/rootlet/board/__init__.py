"""Board definitions and everything that lies in a board's flash. Knows nothing of AWS."""
