"""The noise of a whole world of `crafter` at once: close enough to decide nearly every cell.

Where the corners of the lattice stand, and how far each cell is from them, is the same in every world: a seed
only shuffles which gradient a corner has. So the corners that reach a line of cells are found once, and a
world is one pass over such runs. Along a run one axis changes by equal steps and the others stand still:

    noise of a cell  ~  sum over its corners of  (left - d d)^4 (what the others give + gradient d) / 103

in float32 and in vector instructions. It differs from `noise3` by less than CLOSE, which decides nearly every
cell; where it does not, the caller asks for `exact` noise.
"""

from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memset

from envs.crafter_noise cimport GRADIENTS, Simplex, noise3

cdef enum:
    SIZE = 64
    CELLS = 4096
    LAYERS = 13
    LOWEST = -14                        # of a corner's numbers in any layer
    HIGHEST = 40
    MEADOW_ENDS = 20                    # cells from the middle; beyond, `start` is below 1e-6
    WIDTH = 8                           # cells that are computed at once
    CORNERS = 4000                      # there are 3,012
    RUNS = 30000                        # there are 25,425

cdef enum:                              # the layers, named for what they decide
    HILLS, LAKES, BUMPS, PONDS, MEADOW, CAVES, TUNNELS, SHAFTS, COALS, ORES, MAGMA, BEACHES, WOODS

cdef extern from * nogil:
    """
    #define CLOSE 3e-4
    /* noise3(x * xt / xo / size, y * yt / yo / size, z), the operations in the package's order */
    struct Layer {double size, z, xt, xo, yt, yo;};
    static const struct Layer NOISES[] = {
        {15, 0, 1, 1, 1, 1}, {15, 3, 1, 1, 1, 1}, {5, 0, 1, 1, 1, 1}, {5, 3, 1, 1, 1, 1}, {3, 8, 1, 1, 1, 1},
        {7, 6, 1, 1, 1, 1}, {3, 7, 2, 1, 1, 5}, {3, 7, 1, 5, 2, 1}, {8, 1, 1, 1, 1, 1}, {6, 2, 1, 1, 1, 1},
        {5, 6, 1, 1, 1, 1}, {9, 4, 1, 1, 1, 1}, {7, 5, 1, 1, 1, 1}};
    """
    double CLOSE
    struct Layer:
        double size, z, xt, xo, yt, yo
    const Layer NOISES[LAYERS]

cdef struct Run:                        # the line of cells that a corner reaches
    int32_t first                       # of its cells, in `Land.about`
    int32_t blocks                      # of WIDTH cells
    float across, along                 # from the corner to the first cell, over the lines and along them
    float left                          # of 2, beyond which no corner reaches, for the square of `along`

cdef struct Corner:
    int32_t i, j, k
    int32_t layer
    int32_t runs                        # of this corner and of all before it
    float dz                            # from the corner to all cells

cdef struct Shapes:
    int32_t num_corners
    Corner corners[CORNERS]
    Run runs[RUNS]

cdef struct Land:                       # the noise of one world
    const Shapes* shapes
    Simplex simplex
    float about[LAYERS * CELLS]         # layer by layer as `place` says


cdef inline int place(int layer, int x, int y) noexcept nogil:
    """Where `Land.about` has a cell. Lines run along y, those of SHAFTS along x: the way in which the noise
    changes slowly, so that they are long."""
    return layer * CELLS + (y * SIZE + x if layer == SHAFTS else x * SIZE + y)


cdef inline double along_x(int layer, int x) noexcept nogil:
    return x * NOISES[layer].xt / NOISES[layer].xo / NOISES[layer].size


cdef inline double along_y(int layer, int y) noexcept nogil:
    return y * NOISES[layer].yt / NOISES[layer].yo / NOISES[layer].size


cdef inline double exact(Simplex* simplex, int layer, int x, int y) noexcept nogil:
    """The package's noise at a cell."""
    return noise3(simplex, along_x(layer, x), along_y(layer, y), NOISES[layer].z)


cdef inline bint above(Land* land, int layer, int x, int y, double least) noexcept nogil:
    """Whether the package's noise at a cell is above `least`."""
    cdef double about = land.about[place(layer, x, y)]
    if about - least > CLOSE or about - least < -CLOSE:
        return about > least
    return exact(&land.simplex, layer, x, y) > least


# ---------------------------------------------------------------------- once: what is the same in all worlds

cdef inline void shape(Shapes* shapes) noexcept nogil:
    """All corners of all layers, and their runs."""
    cdef Corner* corner
    cdef int layer, i, j, k, runs = 0
    shapes.num_corners = 0
    for layer in range(LAYERS):
        for i in range(LOWEST, HIGHEST):
            for j in range(LOWEST, HIGHEST):
                for k in range(LOWEST, HIGHEST):
                    corner = &shapes.corners[shapes.num_corners]
                    corner.i, corner.j, corner.k, corner.layer = i, j, k, layer
                    corner.runs = shape_corner(corner, &shapes.runs[runs]) + runs
                    if corner.runs > runs:
                        runs = corner.runs
                        shapes.num_corners += 1


cdef inline int shape_corner(Corner* corner, Run* run) noexcept nogil:
    """Writes the runs of a corner; returns their number. It stands at its numbers, each increased by a third
    of their sum."""
    cdef int layer = corner.layer, line, cell, x, y, runs = 0
    cdef double skew = (corner.i + corner.j + corner.k) * (1.0 / 3), across, along, dz, left
    corner.dz = dz = NOISES[layer].z - corner.k - skew
    if dz * dz >= 2 or not (-2 < corner.i + skew < along_x(layer, SIZE) + 2
                            and -2 < corner.j + skew < along_y(layer, SIZE) + 2):
        return 0
    for line in range(SIZE):
        across = along_y(layer, line) - corner.j if layer == SHAFTS else along_x(layer, line) - corner.i
        across -= skew
        left = 2 - across * across - dz * dz
        if left <= 0:
            continue
        run.blocks = 0
        for cell in range(SIZE):
            x, y = (cell, line) if layer == SHAFTS else (line, cell)
            along = along_x(layer, x) - corner.i if layer == SHAFTS else along_y(layer, y) - corner.j
            along -= skew
            if cell % WIDTH == 0 and run.blocks == 0:
                run.first, run.across, run.along, run.left = place(layer, x, y), across, along, left
            if along * along < left and (layer != MEADOW or (x - 32) ** 2 + (y - 32) ** 2
                                         <= MEADOW_ENDS * MEADOW_ENDS):
                run.blocks = cell // WIDTH - run.first % SIZE // WIDTH + 1
        if run.blocks:
            runs, run = runs + 1, run + 1
    return runs


# ---------------------------------------------------------------------- for each world

cdef inline void lay(Land* land) noexcept nogil:
    """Fills `land.about` for the seed in `land.simplex`."""
    cdef const uint8_t* shuffled = &land.simplex.shuffled[0]
    cdef const Shapes* shapes = land.shapes
    cdef const Corner* corner
    cdef const Run* run
    cdef const double* gradient
    cdef float step, across, along, deep
    cdef int c, at, r = 0
    memset(land.about, 0, LAYERS * CELLS * sizeof(float))
    for c in range(shapes.num_corners):
        corner = &shapes.corners[c]
        at = (shuffled[(shuffled[corner.i & 255] + corner.j) & 255] + corner.k) & 255
        gradient = &GRADIENTS[land.simplex.gradient[at]][0]
        across, along, step = gradient[0] / 103, gradient[1] / 103, along_y(corner.layer, 1)
        if corner.layer == SHAFTS:
            across, along, step = gradient[1] / 103, gradient[0] / 103, along_x(corner.layer, 1)
        deep = gradient[2] / 103 * corner.dz
        while r < corner.runs:
            run = &shapes.runs[r]
            add_run(&land.about[run.first], run, across, along, deep, step)
            r += 1


cdef inline void add_run(float* about, const Run* run, float across, float along, float deep,
                         float step) noexcept nogil:
    """What a corner with this gradient contributes to a run of cells."""
    cdef float others = across * run.across + deep, start = run.along, left = run.left, d, near
    cdef int blocks = run.blocks, block, n
    for n in range(blocks * WIDTH):
        d = start + step * n
        near = left - d * d
        near = near if near > 0 else 0
        near *= near
        about[n] += near * near * (others + along * d)
