"""Five ways to find the nearest foe on a map of 64 x 64 cells, for the bake-off of chapter 9.

Each takes rows, columns (int32) and sides (uint8) of the entities, at most one on a cell, builds its index, asks it once for every
entity, and writes the nearest of the other side within `radius` (in rows and in columns) into `found`, -1 for nobody. Of two as near the
lower index counts, so all five give the same answer.
"""

from libc.stdint cimport int32_t, int16_t, uint8_t, uint64_t
from libc.string cimport memset

cdef extern from * nogil:
    int lowest "__builtin_ctzll" (unsigned long long)

cdef enum:
    SIZE = 64
    MOST = 4096
    BUCKET = 8                      # cells a side
    BUCKETS = 8                     # SIZE // BUCKET
    LEAF = 8                        # entities in a leaf of the quadtree at most
    NODES = 16384
    NONE = 1 << 30

cdef struct Point:
    int row, column, side

cdef struct Node:
    int first, last                 # its entities in `order`
    int top, left, size
    int children                    # index of the first of four, 0 for a leaf

cdef Point[MOST] points
cdef int16_t[SIZE][SIZE] cells      # entity + 1
cdef uint64_t[2][SIZE] rows_of      # side -> row -> a bit for each cell on which a foe stands
cdef int[BUCKETS][BUCKETS] heads    # entity + 1, then along `following`
cdef int[MOST] following, order, other_order
cdef Node[NODES] nodes
cdef int num_nodes


cdef inline int better(int best, int i, int j, int radius) noexcept nogil:
    """The key of entity j for entity i (squared distance, then index), if it is a foe within the radius and beats `best`."""
    cdef int dy = points[j].row - points[i].row, dx = points[j].column - points[i].column, key = (dy * dy + dx * dx) << 12 | j
    if points[j].side != points[i].side and -radius <= dy <= radius and -radius <= dx <= radius and key < best:
        return key
    return best


cdef int window(int i, int n, int radius) noexcept nogil:
    cdef int row, column, best = NONE
    for row in range(max(points[i].row - radius, 0), min(points[i].row + radius + 1, SIZE)):
        for column in range(max(points[i].column - radius, 0), min(points[i].column + radius + 1, SIZE)):
            if cells[row][column]:
                best = better(best, i, cells[row][column] - 1, radius)
    return best


cdef int everybody(int i, int n, int radius) noexcept nogil:
    cdef int j, best = NONE
    for j in range(n):
        best = better(best, i, j, radius)
    return best


cdef int buckets(int i, int n, int radius) noexcept nogil:
    cdef int row, column, j, best = NONE
    for row in range(max(points[i].row - radius, 0) // BUCKET, min(points[i].row + radius, SIZE - 1) // BUCKET + 1):
        for column in range(max(points[i].column - radius, 0) // BUCKET, min(points[i].column + radius, SIZE - 1) // BUCKET + 1):
            j = heads[row][column]
            while j:
                best = better(best, i, j - 1, radius)
                j = following[j - 1]
    return best


cdef int quadtree(int i, int n, int radius) noexcept nogil:
    """Down from the root; a square that lies outside the window, or further away than the best so far, is not entered."""
    cdef int[64] waiting
    cdef int count = 1, k, dy, dx, best = NONE, row = points[i].row, column = points[i].column
    cdef Node* node
    waiting[0] = 0
    while count:
        count -= 1
        node = &nodes[waiting[count]]
        dy = max(max(node.top - row, row - node.top - node.size + 1), 0)
        dx = max(max(node.left - column, column - node.left - node.size + 1), 0)
        if dy > radius or dx > radius or dy * dy + dx * dx > best >> 12:
            continue
        if node.children:
            for k in range(4):
                waiting[count] = node.children + k
                count += 1
        else:
            for k in range(node.first, node.last):
                best = better(best, i, order[k], radius)
    return best


cdef int bit_rows(int i, int n, int radius) noexcept nogil:
    cdef int row = points[i].row, column = points[i].column, k, best = NONE
    cdef uint64_t mask = ~<uint64_t> 0 >> (63 - min(column + radius, 63)), word
    mask = mask >> max(column - radius, 0) << max(column - radius, 0)
    for k in range(max(row - radius, 0), min(row + radius + 1, SIZE)):
        word = rows_of[points[i].side][k] & mask
        while word:
            best = better(best, i, cells[k][lowest(word)] - 1, radius)
            word &= word - 1
    return best


# ---------------------------------------------------------------------- building them

cdef void fill_cells(int n) noexcept nogil:
    cdef int i
    memset(cells, 0, sizeof(cells))
    for i in range(n):
        cells[points[i].row][points[i].column] = i + 1


cdef void fill_nothing(int n) noexcept nogil:
    pass


cdef void fill_buckets(int n) noexcept nogil:
    cdef int i, row, column
    memset(heads, 0, sizeof(heads))
    for i in range(n):
        row, column = points[i].row // BUCKET, points[i].column // BUCKET
        following[i] = heads[row][column]
        heads[row][column] = i + 1


cdef void fill_rows(int n) noexcept nogil:
    cdef int i
    fill_cells(n)
    memset(rows_of, 0, sizeof(rows_of))
    for i in range(n):
        rows_of[1 - points[i].side][points[i].row] |= <uint64_t> 1 << points[i].column


cdef void fill_tree(int n) noexcept nogil:
    """Split every square with more than LEAF entities into four, its part of `order` with it."""
    global num_nodes
    cdef int i, k, at, half, node = 0, middle_row, middle_column
    for i in range(n):
        order[i] = i
    nodes[0] = Node(0, n, 0, 0, SIZE, 0)
    num_nodes = 1
    while node < num_nodes:
        if nodes[node].last - nodes[node].first > LEAF and nodes[node].size > 1 and num_nodes + 4 <= NODES:
            half, at = nodes[node].size // 2, nodes[node].first
            middle_row, middle_column = nodes[node].top + half, nodes[node].left + half
            nodes[node].children = num_nodes
            for k in range(4):
                nodes[num_nodes] = Node(at, at, middle_row if k & 2 else nodes[node].top,
                                        middle_column if k & 1 else nodes[node].left, half, 0)
                for i in range(nodes[node].first, nodes[node].last):
                    if (points[order[i]].row >= middle_row) == (k & 2 != 0) and (points[order[i]].column >= middle_column) == (k & 1):
                        other_order[at] = order[i]
                        at += 1
                nodes[num_nodes].last = at
                num_nodes += 1
            for i in range(nodes[node].first, nodes[node].last):
                order[i] = other_order[i]
        node += 1


ctypedef int (*Query)(int, int, int) noexcept nogil
ctypedef void (*Build)(int) noexcept nogil

NAMES = ("window", "entity list", "buckets", "quadtree", "bit rows")


def nearest(str name, int32_t[::1] rows, int32_t[::1] columns, uint8_t[::1] sides, int radius, int32_t[::1] found):
    """Build index `name`, ask it for every entity, write the answers."""
    cdef Query query = window
    cdef Build fill = fill_cells
    cdef int i, key, n = rows.shape[0]
    if name == "entity list":
        query, fill = everybody, fill_nothing
    elif name == "buckets":
        query, fill = buckets, fill_buckets
    elif name == "quadtree":
        query, fill = quadtree, fill_tree
    elif name == "bit rows":
        query, fill = bit_rows, fill_rows
    elif name != "window" or n > MOST:
        raise ValueError(f"{name!r} with {n} entities given, expected one of {', '.join(NAMES)} and at most {MOST}")
    with nogil:
        for i in range(n):
            points[i] = Point(rows[i], columns[i], sides[i])
        fill(n)
        for i in range(n):
            key = query(i, n, radius)
            found[i] = -1 if key == NONE else key & 4095
