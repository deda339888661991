"""Indexes of the words in the memory shared with the parent; see __init__."""

HIGH, DIRTY, RAW, ANSWERS, UNSENT, SENT, MARK, MARK_STEP = 0, 1, 2, 3, 4, 5, 16, 8  # LIMIT: each chunk has its index
BEGUN = 2056  # from the word of a chunk's limit
# Bytes behind the words.
ROOM = 64 << 10   # for what was printed
TRACE = 16 << 10  # for faulthandler
