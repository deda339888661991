"""The cells of the memory shared with the parent, by index; see __init__."""

HIGH, DIRTY, RAW, ANSWERS, MARK, MARK_STEP = 0, 1, 2, 3, 16, 8  # LIMIT: the parent says which
TRACE = 16 << 10  # bytes behind the cells
