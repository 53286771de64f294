"""OpenSimplex noise in three dimensions (Kurt Spencer 2014), to the last bit the `opensimplex` package's
(MIT, copyright 2020 A. Svensson).

Space is cut into tetrahedra and octahedra; a point sums what the corners around it contribute, and two
corners beyond. All corners have whole coordinates (i, j, k) in a skewed lattice, and the vector from such a
corner to the point is

    d - i - (i + j + k) / 3      for each axis, d the vector from the cell's origin

so a corner is three small numbers, and which two lie beyond is a row of a table instead of 400 lines of
cases. Sums run in the package's order, because float64 does not add up the same in another.
"""

cimport cython
from libc.math cimport floor
from libc.stdint cimport int8_t, int64_t, uint8_t, uint64_t

cdef extern from * nogil:
    """
    /* the 24 gradients: signs of x fastest, then y, then z; the long side along x, y, z */
    #define G(x, y, z) {11 * x, 4 * y, 4 * z}, {4 * x, 11 * y, 4 * z}, {4 * x, 4 * y, 11 * z}
    static const double GRADIENTS[24][3] = {G(-1, 1, 1), G(1, 1, 1), G(-1, -1, 1), G(1, -1, 1),
                                            G(-1, 1, -1), G(1, 1, -1), G(-1, -1, -1), G(1, -1, -1)};
    #undef G
    /* the corners of the unit cube in the order of summing, and which of them belong to each part of it */
    static const double CUBE_X[8] = {0, 1, 0, 0, 1, 1, 0, 1}, CUBE_Y[8] = {0, 0, 1, 0, 1, 0, 1, 1},
                        CUBE_Z[8] = {0, 0, 0, 1, 0, 1, 1, 1}, CUBE_SUM[8] = {0, 1, 1, 1, 2, 2, 2, 3};
    static const double PARTS[3][8] = {{1, 1, 1, 1}, {0, 1, 1, 1, 1, 1, 1}, {0, 0, 0, 0, 1, 1, 1, 1}};
    /* the two corners beyond, by the set of axes (bit 0 x, bit 1 y, bit 2 z) that points to them */
    static const signed char LOW_NEAR[8][6] = {
        {0}, {1, -1, 0, 1, 0, -1}, {-1, 1, 0, 0, 1, -1}, {0}, {-1, 0, 1, 0, -1, 1}};
    static const signed char LOW_FAR[8][6] = {
        {0}, {0}, {0}, {1, 1, 0, 1, 1, -1}, {0}, {1, 0, 1, 1, -1, 1}, {0, 1, 1, -1, 1, 1}};
    static const signed char HIGH_NEAR[8][6] = {
        {0}, {0}, {0}, {2, 1, 0, 1, 2, 0}, {0}, {2, 0, 1, 1, 0, 2}, {0, 2, 1, 0, 1, 2}};
    static const signed char HIGH_FAR[8][6] = {
        {0}, {1, 0, 0, 2, 0, 0}, {0, 1, 0, 0, 2, 0}, {0}, {0, 0, 1, 0, 0, 2}};
    /* ... and in an octahedron */
    static const signed char TWICE[8][3] = {
        {0, 0, 2}, {2, 0, 0}, {0, 2, 0}, {2, 0, 0}, {0, 0, 2}, {2, 0, 0}, {0, 2, 0}, {2, 0, 0}};
    static const signed char MINUS[8][3] = {
        {-1, 1, 1}, {1, -1, 1}, {-1, 1, 1}, {1, 1, -1}, {-1, 1, 1}, {1, -1, 1}, {-1, 1, 1}, {1, 1, -1}};
    """
    const double GRADIENTS[24][3]
    const double CUBE_X[8]
    const double CUBE_Y[8]
    const double CUBE_Z[8]
    const double CUBE_SUM[8]
    const double PARTS[3][8]
    const int8_t LOW_NEAR[8][6]
    const int8_t LOW_FAR[8][6]
    const int8_t HIGH_NEAR[8][6]
    const int8_t HIGH_FAR[8][6]
    const int8_t TWICE[8][3]
    const int8_t MINUS[8][3]

cdef enum:                          # parts of the unit cube
    LOW, MIDDLE, HIGH

cdef struct Simplex:                # what a seed makes of the lattice
    uint8_t shuffled[256]
    uint8_t gradient[256]           # of a shuffled number: which of the 24

cdef struct Cell:                   # the lattice cell that a point lies in
    Simplex* simplex
    int x, y, z                     # its origin
    double dx, dy, dz               # from there to the point


@cython.overflowcheck(False)
cdef inline void seed_simplex(Simplex* simplex, int64_t seed) noexcept nogil:
    """`OpenSimplex(seed)`: a shuffle by a linear congruential generator."""
    cdef uint8_t source[256]
    cdef uint64_t state = <uint64_t> seed
    cdef int i, r
    for i in range(256):
        source[i] = i
    for i in range(3):
        state = state * <uint64_t> 6364136223846793005u + <uint64_t> 1442695040888963407u
    for i in range(255, -1, -1):
        state = state * <uint64_t> 6364136223846793005u + <uint64_t> 1442695040888963407u
        r = <int> ((<int64_t> state) % (i + 1) + 31) % (i + 1)
        if r < 0:
            r += i + 1
        simplex.shuffled[i] = source[r]
        simplex.gradient[i] = source[r] % 24
        source[r] = source[i]


cdef inline double pull(const Cell* cell, int i, int j, int k,
                        double dx, double dy, double dz) noexcept nogil:
    """What corner (i, j, k) contributes to a point that lies (dx, dy, dz) from it."""
    cdef const uint8_t* shuffled = &cell.simplex.shuffled[0]
    cdef const double* gradient
    cdef int place = shuffled[(shuffled[(cell.x + i) & 255] + cell.y + j) & 255] + cell.z + k
    cdef double near = 2 - dx * dx - dy * dy - dz * dz
    near = near if near > 0 else 0          # too far: adding 0 costs less than a branch
    near *= near
    gradient = &GRADIENTS[cell.simplex.gradient[place & 255]][0]
    return near * near * (gradient[0] * dx + gradient[1] * dy + gradient[2] * dz)


cdef inline double corner(const Cell* cell, int i, int j, int k) noexcept nogil:
    cdef double skew = (i + j + k) * (1.0 / 3)
    return pull(cell, i, j, k, cell.dx - i - skew, cell.dy - j - skew, cell.dz - k - skew)


cdef inline double corner_of(const Cell* cell, const int8_t* at) noexcept nogil:
    return corner(cell, at[0], at[1], at[2])


cdef inline double sum_of(const Cell* cell, int part) noexcept nogil:
    """What the corners of a part of the unit cube contribute. All eight are computed, which is a few vector
    instructions; those of other parts add 0."""
    cdef const uint8_t* shuffled = &cell.simplex.shuffled[0]
    cdef const uint8_t* gradient = &cell.simplex.gradient[0]
    cdef int y = cell.y, z = cell.z, a = shuffled[cell.x & 255], b = shuffled[(cell.x + 1) & 255]
    cdef int aa = z + shuffled[(a + y) & 255], ab = z + shuffled[(a + y + 1) & 255]
    cdef int ba = z + shuffled[(b + y) & 255], bb = z + shuffled[(b + y + 1) & 255]
    cdef uint8_t[8] which
    cdef double[8] gx, gy, gz, pulls
    cdef double dx, dy, dz, near
    cdef int c
    which[0], which[1], which[2], which[3] = aa & 255, ba & 255, ab & 255, (aa + 1) & 255
    which[4], which[5], which[6], which[7] = bb & 255, (ba + 1) & 255, (ab + 1) & 255, (bb + 1) & 255
    for c in range(8):
        gx[c] = GRADIENTS[gradient[which[c]]][0]
        gy[c] = GRADIENTS[gradient[which[c]]][1]
        gz[c] = GRADIENTS[gradient[which[c]]][2]
    for c in range(8):
        dx = cell.dx - CUBE_X[c] - CUBE_SUM[c] * (1.0 / 3)
        dy = cell.dy - CUBE_Y[c] - CUBE_SUM[c] * (1.0 / 3)
        dz = cell.dz - CUBE_Z[c] - CUBE_SUM[c] * (1.0 / 3)
        near = 2 - dx * dx - dy * dy - dz * dz
        near = near if near > 0 else 0
        near *= near
        pulls[c] = PARTS[part][c] * (near * near * (gx[c] * dx + gy[c] * dy + gz[c] * dz))
    return pulls[0] + pulls[1] + pulls[2] + pulls[3] + pulls[4] + pulls[5] + pulls[6] + pulls[7]


cdef inline double in_low_tetrahedron(const Cell* cell, double x, double y, double z,
                                      double total) noexcept nogil:
    """x + y + z <= 1: between (0, 0, 0) and its three neighbours."""
    cdef int a = 1, b = 2
    cdef double one = x, other = y, rest = 1 - total
    cdef const int8_t* beyond
    if one >= other and z > other:
        other, b = z, 4
    elif one < other and z > one:
        one, a = z, 4
    beyond = &LOW_NEAR[b if other > one else a][0] if rest > one or rest > other else &LOW_FAR[a | b][0]
    return sum_of(cell, LOW) + corner_of(cell, beyond) + corner_of(cell, beyond + 3)


cdef inline double in_high_tetrahedron(const Cell* cell, double x, double y, double z,
                                       double total) noexcept nogil:
    """x + y + z >= 2: between (1, 1, 1) and its three neighbours."""
    cdef int a = 6, b = 5
    cdef double one = x, other = y, rest = 3 - total
    cdef const int8_t* beyond
    if one <= other and z < other:
        other, b = z, 3
    elif one > other and z < one:
        one, a = z, 3
    if not (rest < one or rest < other):
        beyond = &HIGH_FAR[a & b][0]
        return sum_of(cell, HIGH) + corner_of(cell, beyond) + corner_of(cell, beyond + 3)
    beyond = &HIGH_NEAR[b if other < one else a][0]
    return sum_of(cell, HIGH) + late(cell, beyond) + late(cell, beyond + 3)


cdef inline double late(const Cell* cell, const int8_t* at) noexcept nogil:
    """A corner whose second step along y is taken last, as in the package; that may round differently."""
    cdef double dy = cell.dy - 1 - 1 - 1 if at[1] == 2 else cell.dy - at[1] - 1
    return pull(cell, at[0], at[1], at[2], cell.dx - at[0] - 1, dy, cell.dz - at[2] - 1)


cdef inline double in_octahedron(const Cell* cell, double x, double y, double z) noexcept nogil:
    """Between the two tetrahedra: six corners, and two beyond by the two sides that are closest."""
    cdef double xy = x + y, xz = x + z, yz = y + z, one, other, third, value, skew = 2 * (1.0 / 3)
    cdef int a, b
    cdef bint a_is_high = xy > 1, b_is_high = xz > 1, high = yz > 1
    cdef const int8_t* at
    one, a = (xy - 1, 3) if a_is_high else (1 - xy, 4)
    other, b = (xz - 1, 5) if b_is_high else (1 - xz, 2)
    third = yz - 1 if high else 1 - yz
    if one <= other and one < third:
        a, a_is_high = 6 if high else 1, high
    elif one > other and other < third:
        b, b_is_high = 6 if high else 1, high
    value = sum_of(cell, MIDDLE)
    if a_is_high and b_is_high:
        value += corner(cell, 1, 1, 1)
        return value + corner_of(cell, &TWICE[a & b][0])
    if not a_is_high and not b_is_high:
        value += corner(cell, 0, 0, 0)
        return value + corner_of(cell, &MINUS[a | b][0])
    value += corner_of(cell, &MINUS[a if a_is_high else b][0])
    at = &TWICE[b if a_is_high else a][0]                   # the step of two is taken last here
    return value + pull(cell, at[0], at[1], at[2],
                        cell.dx - skew - at[0], cell.dy - skew - at[1], cell.dz - skew - at[2])


cdef inline double noise3(Simplex* simplex, double x, double y, double z) noexcept nogil:
    """A smooth function of the point (x, y, z), between -1 and 1."""
    cdef double stretch = (x + y + z) * (-1.0 / 6), xs = x + stretch, ys = y + stretch, zs = z + stretch
    cdef double xb = floor(xs), yb = floor(ys), zb = floor(zs), squish = (xb + yb + zb) * (1.0 / 3)
    cdef double xin = xs - xb, yin = ys - yb, zin = zs - zb, total = xin + yin + zin
    cdef Cell cell
    cell.simplex, cell.x, cell.y, cell.z = simplex, <int> xb, <int> yb, <int> zb
    cell.dx, cell.dy, cell.dz = x - (xb + squish), y - (yb + squish), z - (zb + squish)
    if total <= 1:
        return in_low_tetrahedron(&cell, xin, yin, zin, total) / 103
    if total >= 2:
        return in_high_tetrahedron(&cell, xin, yin, zin, total) / 103
    return in_octahedron(&cell, xin, yin, zin) / 103
