"""What happens to an event on its way to the phones: rooms, the ring, the log, what people are
told.
"""
