"""The HTTP edge: phones, REST, pages, and what stands before them all."""
