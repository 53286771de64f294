'''The two compiled parts of the ladder on the `crafter` package, as text: for `%%cython`, or `build`.'''

DRAWING = '''
cdef inline int grey(int red, int green, int blue) noexcept nogil:
    return (red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16       # Pillow's luma


cdef inline int pale(int level, int of) noexcept nogil:
    return <int> (<float> of + <float> 0.4 * <float> (level - of))         # Pillow blends in single precision


def draw(const Py_ssize_t[:, ::1] numbers, const unsigned char[:, :, :, ::1] atlas, double day, double amount,
         const double[:, :] edges, const double[:, ::1] noise, bint asleep, unsigned char[:, :, ::1] canvas):
    """Tiles, noise (unless amount is 0), tint, daylight and sleep, pixel by pixel."""
    cdef Py_ssize_t x, y, c, tile, unit = atlas.shape[1]
    cdef int plain[3]
    cdef int dark[3]
    cdef double mask
    cdef int luma
    for x in range(canvas.shape[0]):
        for y in range(canvas.shape[1]):
            tile = numbers[x // unit, y // unit]
            for c in range(3):
                plain[c] = dark[c] = atlas[tile, x % unit, y % unit, c]
            if amount > 0:
                mask = amount * edges[x, y]
                for c in range(3):
                    dark[c] = <int> ((1 - mask) * plain[c] + mask * noise[x, y])
            luma = grey(dark[0], dark[1], dark[2])
            for c in range(3):
                plain[c] = <int> (day * plain[c] + (1 - day) * (0.5 * pale(dark[c], luma) + 8 * c * c))
            if asleep:
                plain[0] = plain[1] = grey(plain[0], plain[1], plain[2]) // 2
                plain[2] = plain[0] + 8
            for c in range(3):
                canvas[x, y, c] = plain[c]
'''

WORLD = '''
from libc.math cimport exp, sqrt

from envs.crafter_noise cimport Simplex, noise3, seed_simplex

cdef enum:
    WATER = 1, GRASS, STONE, PATH, SAND, TREE, LAVA, COAL, IRON, DIAMOND


cdef double at(Simplex* simplex, double x, double y, double z, double size) noexcept nogil:
    return noise3(simplex, x / size, y / size, z)


def make_world(long seed, const double[::1] draws, unsigned char[:, ::1] materials):
    """Fill the map; returns how many draws it took, and the animals as (kind, x, y)."""
    cdef Simplex simplex
    cdef int x, y, used = 0
    cdef double start, water, mountain, distance
    cdef unsigned char tunnels[64][64]
    animals = []
    seed_simplex(&simplex, seed)
    for x in range(64):
        for y in range(64):
            tunnels[x][y] = 0
            start = 4 - sqrt((x - 32) * (x - 32) + (y - 32) * (y - 32)) + 2 * at(&simplex, x, y, 8, 3)
            start = 1 / (1 + exp(-start))
            water = at(&simplex, x, y, 3, 15) + 0.15 * at(&simplex, x, y, 3, 5) + 0.1 - 2 * start
            mountain = (at(&simplex, x, y, 0, 15) + 0.3 * at(&simplex, x, y, 0, 5)) / 1.3
            mountain -= 4 * start + 0.3 * water
            if start > 0.5:
                materials[x, y] = GRASS
            elif mountain > 0.15:
                materials[x, y] = STONE
                if mountain > 0.3 and at(&simplex, x, y, 6, 7) > 0.15:
                    materials[x, y] = PATH
                elif (at(&simplex, 2 * x, y / 5.0, 7, 3) > 0.4
                      or at(&simplex, x / 5.0, 2 * y, 7, 3) > 0.4):
                    materials[x, y] = PATH
                    tunnels[x][y] = 1
                elif at(&simplex, x, y, 1, 8) > 0 and took(&used, draws) > 0.85:
                    materials[x, y] = COAL
                elif at(&simplex, x, y, 2, 6) > 0.4 and took(&used, draws) > 0.75:
                    materials[x, y] = IRON
                elif mountain > 0.18 and took(&used, draws) > 0.994:
                    materials[x, y] = DIAMOND
                elif mountain > 0.3 and at(&simplex, x, y, 6, 5) > 0.35:
                    materials[x, y] = LAVA
            elif 0.25 < water <= 0.35 and at(&simplex, x, y, 4, 9) > -0.2:
                materials[x, y] = SAND
            elif water > 0.3:
                materials[x, y] = WATER
            else:
                materials[x, y] = GRASS
                if at(&simplex, x, y, 5, 7) > 0 and took(&used, draws) > 0.8:
                    materials[x, y] = TREE
    for x in range(64):
        for y in range(64):
            if materials[x, y] not in (GRASS, PATH, SAND):
                continue
            distance = sqrt((x - 32) * (x - 32) + (y - 32) * (y - 32))
            if distance > 3 and materials[x, y] == GRASS and took(&used, draws) > 0.985:
                animals.append((0, x, y))
            elif distance > 10 and took(&used, draws) > 0.993:
                animals.append((1, x, y))
            elif materials[x, y] == PATH and tunnels[x][y] and took(&used, draws) > 0.95:
                animals.append((2, x, y))
    return used, animals


cdef double took(int* used, const double[::1] draws) noexcept:
    used[0] += 1
    return draws[used[0] - 1]
'''
