"""What a player of `crafter` sees, as the package draws it: tiles, daylight, the noise of the night, sleep.

    tiles     7 x 7 pixels for each material with each thing on it, blended once, when the environment is made
    light     every pixel is mixed with a pale blue copy of itself by the daylight. Without noise that
              depends on the tile alone, so a tile that is seen twenty times is lit once.
    noise     below half daylight the copy is disturbed first, most at the edges: a draw a pixel, column by
              column

The order of float64 operations is NumPy's, the rounding of the pale copy Pillow's.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memset

from envs.crafter_chance cimport WORDS, Twister, refill
from envs.crafter_rules cimport RIPE
from envs.crafter_land cimport SIZE
from envs.crafter_world cimport ARROW, COW, PLANT, PLAYER, PLAYER_SLOT, Game, Thing, inside

cdef enum:
    WIDE = 9                            # cells of the view
    HIGH = 7
    SEEN = 63
    UNIT = 7                            # pixels along a tile
    TILE = 49
    LOOKS = 15                          # no thing, and what a thing can look like
    TILES = 195                         # 13 materials with each of them
    WIDTH = 63                          # pixels of the view
    HEIGHT = 49
    PIXELS = 3087
    LINE = 192                          # bytes of a line of the picture, 64 x 64 x 3
    PICTURE = 12288

cdef struct Tables:                     # made by envs/core/crafter_picture.py
    uint8_t tiles[TILES][3][TILE]       # red, green, blue of each tile, line by line
    uint8_t items[16][10][UNIT][21]     # an item and its number
    double edges[PIXELS]                # how much the noise shows, line by line
    uint8_t lit[TILES][UNIT][21]        # a tile in the present light, where `lit_at` is the present picture
    uint32_t lit_at[TILES]
    uint32_t pictures


cdef inline int look_of(const Game* game, const Thing* thing) noexcept nogil:
    """Its number in the symbolic view, and in the tables of tiles."""
    if thing.kind == PLAYER:
        return 5 if game.asleep else 1 + thing.facing
    if thing.kind == ARROW:
        return 9 + thing.facing
    if thing.kind == PLANT:
        return 13 + (thing.wait > RIPE)
    return thing.kind + 6 - COW if thing.kind else 0


cdef inline void look_around(const Game* game, uint8_t* materials, uint8_t* looks) noexcept nogil:
    """Materials and looks of the 9 x 7 cells around the player, line by line."""
    cdef const Thing* player = &game.things[PLAYER_SLOT]
    cdef int left = player.x - WIDE // 2, top = player.y - HIGH // 2, x, y, cell, seen = 0
    for y in range(top, top + HIGH):
        for x in range(left, left + WIDE):
            materials[seen] = looks[seen] = 0
            if inside(x, y):
                cell = x * SIZE + y
                materials[seen] = game.material[cell]
                if game.thing_at[cell]:
                    looks[seen] = look_of(game, &game.things[game.thing_at[cell]])
            seen += 1


cdef inline int grey(int red, int green, int blue) noexcept nogil:
    return (red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16


cdef inline int pale(int level, int of) noexcept nogil:
    """Four tenths of the colour, in single precision as in Pillow's `blend`."""
    return <int> (<float> of + <float> 0.4 * <float> (level - of))


cdef inline int disturbed(int level, double mask, double noise) noexcept nogil:
    return <int> ((1 - mask) * level + mask * noise)


cdef inline int mixed(double day, int level, double night) noexcept nogil:
    return <int> (day * level + (1 - day) * night)


cdef inline void shade(const uint8_t* planes, int n, double day, const double* masks, const double* noise,
                       bint asleep, uint8_t* lit) noexcept nogil:
    """Light n pixels, given as three planes; written as red, green, blue of each. noise: NULL for none."""
    cdef int p, red, green, blue, r, g, b, of
    for p in range(n):
        r = red = planes[p]
        g = green = planes[n + p]
        b = blue = planes[2 * n + p]
        if noise != NULL:
            r = disturbed(red, masks[p], noise[p])
            g = disturbed(green, masks[p], noise[p])
            b = disturbed(blue, masks[p], noise[p])
        of = grey(r, g, b)
        red = mixed(day, red, 0.5 * pale(r, of))
        green = mixed(day, green, 0.5 * pale(g, of) + 8)
        blue = mixed(day, blue, 0.5 * pale(b, of) + 32)
        if asleep:
            red = green = grey(red, green, blue) // 2
            blue = red + 8
        lit[3 * p], lit[3 * p + 1], lit[3 * p + 2] = red, green, blue


cdef inline void draw_noise(Twister* chance, double* noise) noexcept nogil:
    """`random.uniform(32, 127, (63, 49))`, turned to lines."""
    cdef uint32_t words[2 * PIXELS]
    cdef int x, y, count, have = 0
    cdef double unit
    while have < 2 * PIXELS:
        if chance.next == WORDS:
            refill(chance)
        count = min(WORDS - chance.next, 2 * PIXELS - have)
        memcpy(words + have, chance.ready + chance.next, count * sizeof(uint32_t))
        chance.next += count
        have += count
    for x in range(WIDTH):
        for y in range(HEIGHT):
            count = 2 * (x * HEIGHT + y)
            unit = ((words[count] >> 5) * 67108864.0 + (words[count + 1] >> 6)) / 9007199254740992.0
            noise[y * WIDTH + x] = 32 + 95 * unit


cdef inline void draw_night(Game* game, const Tables* tables, const uint8_t* materials, const uint8_t* looks,
                            uint8_t* picture) noexcept nogil:
    """The view with noise, pixel by pixel."""
    cdef uint8_t planes[3 * PIXELS]
    cdef uint8_t lit[3 * PIXELS]
    cdef double noise[PIXELS]
    cdef double masks[PIXELS]
    cdef const uint8_t* tile
    cdef double amount = 2 * (0.5 - game.daylight)
    cdef int seen, plane, line, p, place
    draw_noise(&game.chance, noise)
    for p in range(PIXELS):
        masks[p] = amount * tables.edges[p]
    for seen in range(SEEN):
        place = seen // WIDE * UNIT * WIDTH + seen % WIDE * UNIT
        for plane in range(3):
            tile = &tables.tiles[materials[seen] * LOOKS + looks[seen]][plane][0]
            for line in range(UNIT):
                memcpy(planes + plane * PIXELS + place + line * WIDTH, tile + line * UNIT, UNIT)
    shade(planes, PIXELS, game.daylight, masks, noise, game.asleep, lit)
    for line in range(HEIGHT):
        memcpy(picture + line * LINE, lit + line * 3 * WIDTH, 3 * WIDTH)


cdef inline void draw_day(const Game* game, Tables* tables, const uint8_t* materials, const uint8_t* looks,
                          uint8_t* picture) noexcept nogil:
    """The view without noise, tile by tile."""
    cdef int seen, tile, line, place
    tables.pictures += 1
    for seen in range(SEEN):
        tile = materials[seen] * LOOKS + looks[seen]
        if tables.lit_at[tile] != tables.pictures:
            tables.lit_at[tile] = tables.pictures
            shade(&tables.tiles[tile][0][0], TILE, game.daylight, NULL, NULL, game.asleep,
                  &tables.lit[tile][0][0])
        place = seen // WIDE * UNIT * LINE + seen % WIDE * 3 * UNIT
        for line in range(UNIT):
            memcpy(picture + place + line * LINE, &tables.lit[tile][line][0], 3 * UNIT)


cdef inline void draw_picture(Game* game, Tables* tables, bint noisy, uint8_t* picture) noexcept nogil:
    """64 x 64 x 3 bytes: the view, below it what the player carries; the last line and column stay black."""
    cdef uint8_t materials[SEEN]
    cdef uint8_t looks[SEEN]
    cdef int item, line
    memset(picture, 0, PICTURE)
    look_around(game, materials, looks)
    if noisy:
        draw_night(game, tables, materials, looks, picture)
    else:
        draw_day(game, tables, materials, looks, picture)
    for item in range(16):
        if game.items[item]:
            for line in range(UNIT):
                memcpy(picture + ((HIGH + item // WIDE) * UNIT + line) * LINE + item % WIDE * 3 * UNIT,
                       &tables.items[item][game.items[item]][line][0], 3 * UNIT)
