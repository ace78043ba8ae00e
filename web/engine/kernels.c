/*
 * The kernels of the package's own engine: MobileNetV3-Small, TinyFaceDetector and what prepares their pixels.
 *
 * Maps. A map lies in blocks of four channels, and a block is a plane of pixels, so that one 128-bit vector holds four
 * channels of a pixel and neighboring pixels are neighbors in memory. A depthwise filter then reads and writes whole
 * vectors, and a pointwise one finds its tile of pixels in one run. Channels are filled up to a multiple of four; the
 * weights of the channels added are zero. A map that a filter reads has a border of zeros, written once when the
 * network is loaded, so that no kernel asks where the map ends.
 *
 * Tiles. x86 has 16 vector registers. Five pixels by eight output channels take 10 for the sums, 2 for the weights and
 * 1 for the input, and the maps of MobileNetV3-Small at 160 pixels (80, 40, 20, 10 and 5 wide) divide by five. Each
 * weight vector that is loaded serves five products, each input value two.
 *
 * Arithmetic is float32 in the order of the channels, without fused products, so every browser computes the same bits.
 */

#include <stdint.h>
#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name))) void name
#define INLINE static inline __attribute__((always_inline))

/* Pixels per tile. */
enum { TILE = 5 };

/* Floats per pixel of a block. */
enum { LANES = 4 };

/* A window of rows of a map; `row` and `plane` are distances in floats, and `data` is the first pixel of row `top`. */
typedef struct {
  float *data;
  int32_t top, row, plane, width, height, blocks;
} Map;

INLINE float *pixel(const Map *map, int block, int y) {
  return map->data + block * map->plane + (y - map->top) * map->row;
}

INLINE v128_t load(const float *from) { return wasm_v128_load(from); }
INLINE void store(float *to, v128_t value) { wasm_v128_store(to, value); }
INLINE v128_t add(v128_t a, v128_t b) { return wasm_f32x4_add(a, b); }
INLINE v128_t multiply(v128_t a, v128_t b) { return wasm_f32x4_mul(a, b); }
INLINE v128_t multiply_add(v128_t a, v128_t b, v128_t sum) { return add(sum, multiply(a, b)); }
INLINE v128_t splat(float value) { return wasm_f32x4_splat(value); }
/* pmin and pmax are one instruction on x86, where min and max are up to seven; they differ for NaN and -0 only. */
INLINE v128_t lesser(v128_t a, v128_t b) { return wasm_f32x4_pmin(a, b); }
INLINE v128_t greater(v128_t a, v128_t b) { return wasm_f32x4_pmax(a, b); }

/* ---- Activations ------------------------------------------------------------------------------------------------ */

typedef enum { NONE, RELU, SLOPE, HARD_SWISH, HARD_SIGMOID } Activation;

/*
 * The weights of a layer, packed in the order in which the kernels read them: for each eight output channels (four in
 * the last group, if four are left) the biases, then the products' weights.
 */
typedef struct {
  const float *weights;
  const float *slope;
  Activation activation;
} Layer;

/* `slope` multiplies negative values: leaky ReLU. */
INLINE v128_t activate(v128_t x, const Activation activation, v128_t slope) {
  const v128_t zero = splat(0);
  if (activation == RELU) return greater(x, zero);
  if (activation == SLOPE) return multiply_add(lesser(x, zero), slope, greater(x, zero));
  if (activation == NONE) return x;
  const v128_t gate = greater(lesser(multiply_add(x, splat(1.f / 6), splat(0.5f)), splat(1)), zero);
  return activation == HARD_SWISH ? multiply(x, gate) : gate;
}

/*
 * Applies the activation to a run of pixels of a block. Kernels call it once per run, which is still in the first-level
 * cache: inside of the tiles it would be repeated in the code of each.
 */
static __attribute__((noinline)) void finish(float *x, int count, const Layer *layer, int block) {
  const float *end = x + count * LANES;
#define FINISH(kind)                                                                                                   \
  case kind:                                                                                                           \
    for (; x < end; x += LANES) store(x, activate(load(x), kind, slope));                                              \
    break
  const v128_t slope = layer->activation == SLOPE ? load(layer->slope + block * LANES) : splat(0);
  switch (layer->activation) {
    FINISH(RELU);
    FINISH(SLOPE);
    FINISH(HARD_SWISH);
    FINISH(HARD_SIGMOID);
    case NONE:;
  }
#undef FINISH
}

/* ---- Pointwise convolution -------------------------------------------------------------------------------------- */

/*
 * Computes `count` pixels x `vectors` * 4 output channels. `x` is the first pixel in block 0 of the input, `to` in the
 * first block of the output, and `more` in that of what is added to the first `added` vectors.
 */
INLINE void pointwise_tile(const int count, const int vectors, const float *x, const Map *in, const float *weights,
                           float *to, int plane, const float *more, int more_plane, int added) {
  v128_t sum[TILE][2];
  for (int p = 0; p < count; p++)
    for (int v = 0; v < vectors; v++) sum[p][v] = load(weights + v * LANES);
  weights += vectors * LANES;
#pragma clang loop unroll(disable)
  for (int block = 0; block < in->blocks; block++, x += in->plane) {
#pragma unroll
    for (int lane = 0; lane < LANES; lane++, weights += vectors * LANES) {
      const v128_t w0 = load(weights);
      const v128_t w1 = vectors > 1 ? load(weights + LANES) : w0;
#pragma unroll
      for (int p = 0; p < count; p++) {
        const v128_t value = wasm_v128_load32_splat(x + p * LANES + lane);
        sum[p][0] = multiply_add(value, w0, sum[p][0]);
        if (vectors > 1) sum[p][1] = multiply_add(value, w1, sum[p][1]);
      }
    }
  }
  for (int v = 0; v < vectors; v++, to += plane, more += more_plane) {
    if (v < added)
#pragma unroll
      for (int p = 0; p < count; p++) sum[p][v] = add(sum[p][v], load(more + p * LANES));
#pragma unroll
    for (int p = 0; p < count; p++) store(to + p * LANES, sum[p][v]);
  }
}

/* Computes a run of `count` pixels for two blocks of output, or the last one. */
INLINE void pointwise_run(const int vectors, int count, const float *x, const Map *in, const float *weights, float *to,
                          int plane, const float *more, int more_plane, int added, const Layer *layer, int block) {
  const int tile = count < TILE ? 1 : TILE;
  for (int begin = 0; begin < count; begin += tile) {
    /* The last tile overlaps the one before it rather than to be narrower. */
    if (begin > count - tile) begin = count - tile;
    const int at = begin * LANES;
    if (tile == TILE) pointwise_tile(TILE, vectors, x + at, in, weights, to + at, plane, more + at, more_plane, added);
    else pointwise_tile(1, vectors, x + at, in, weights, to + at, plane, more + at, more_plane, added);
  }
  for (int v = 0; v < vectors; v++) finish(to + v * plane, count, layer, block + v);
}

/* Floats of input that stay in the first-level cache while the weights pass by. */
enum { NEAR = 4096 };

INLINE int is_joined(const Map *map) { return map->row == map->width * LANES; }

/*
 * Rows y0 to y1 of a 1 x 1 convolution. Rows without borders are one run. A run is cut so that its input stays near
 * while all weights pass by, which they do once per piece.
 */
EXPORT(pointwise)(const Map *in, const Map *out, const Map *residual, const Layer *layer, int y0, int y1) {
  const int joined = is_joined(in) && is_joined(out) && (!residual || is_joined(residual));
  const int rows = joined ? y1 - y0 : 1;
  const int more_plane = residual ? residual->plane : 0;
  int most = NEAR / (in->blocks * LANES) / TILE * TILE;
  if (most < 2 * TILE) most = 2 * TILE;
  for (int y = y0; y < y1; y += rows)
    for (int done = 0; done < rows * in->width; done += most) {
      const int left = rows * in->width - done;
      const int count = left < most ? left : most;
      const int at = done * LANES;
      const float *x = pixel(in, 0, y) + at;
      const float *weights = layer->weights;
      for (int block = 0; block < out->blocks; block += 2) {
        float *to = pixel(out, block, y) + at;
        /* A residual may have fewer channels; those that it lacks count as zero. */
        const int added = residual ? residual->blocks - block : 0;
        const float *more = added > 0 ? pixel(residual, block, y) + at : to;
        if (block + 1 < out->blocks) pointwise_run(2, count, x, in, weights, to, out->plane, more, more_plane, added, layer, block);
        else pointwise_run(1, count, x, in, weights, to, out->plane, more, more_plane, added, layer, block);
        weights += 2 * LANES * (1 + in->blocks * LANES);
      }
    }
}

/* ---- Dense layer ------------------------------------------------------------------------------------------------ */

/*
 * A layer of a single position. One pixel alone would wait for each sum, so eight output channels are summed in four
 * parts, one per lane of the input block. Bound by reading the weights, each of which serves one product.
 */
EXPORT(dense)(const Map *in, const Map *out, const Layer *layer) {
  const float *weights = layer->weights;
  float *to = out->data;
  for (int block = 0; block < out->blocks; block += 2) {
    const int vectors = block + 1 < out->blocks ? 2 : 1;
    v128_t sum[LANES][2];
    for (int lane = 0; lane < LANES; lane++) sum[lane][0] = sum[lane][1] = splat(0);
    const float *w = weights + vectors * LANES;
    const float *x = in->data;
    for (int i = 0; i < in->blocks; i++, x += in->plane, w += LANES * vectors * LANES)
#pragma unroll
      for (int lane = 0; lane < LANES; lane++) {
        const v128_t value = wasm_v128_load32_splat(x + lane);
        sum[lane][0] = multiply_add(value, load(w + lane * vectors * LANES), sum[lane][0]);
        if (vectors > 1) sum[lane][1] = multiply_add(value, load(w + (lane * 2 + 1) * LANES), sum[lane][1]);
      }
    for (int v = 0; v < vectors; v++) {
      const v128_t total = add(add(sum[0][v], sum[1][v]), add(sum[2][v], sum[3][v]));
      store(to + v * out->plane, add(total, load(weights + v * LANES)));
      finish(to + v * out->plane, 1, layer, block + v);
    }
    weights = w;
    to += 2 * out->plane;
  }
}

/* ---- Depthwise convolution -------------------------------------------------------------------------------------- */

/*
 * `count` pixels of one row and block. A tap's weight is loaded once for all of them; with stride 1 the rows' pixels are
 * read once and used by every tap that meets them.
 */
INLINE void depthwise_tile(const int count, const int kernel, const int stride, const float *x, int row,
                           const float *weights, float *to) {
  v128_t sum[TILE];
  for (int p = 0; p < count; p++) sum[p] = load(weights);
  weights += LANES;
#pragma clang loop unroll(disable)
  for (int ky = 0; ky < kernel; ky++, x += row) {
    v128_t pixels[2 * TILE + 3];
#pragma unroll
    for (int p = 0; p < (count - 1) * stride + kernel; p++) pixels[p] = load(x + p * LANES);
#pragma unroll
    for (int kx = 0; kx < kernel; kx++, weights += LANES) {
      const v128_t weight = load(weights);
#pragma unroll
      for (int p = 0; p < count; p++) sum[p] = multiply_add(pixels[p * stride + kx], weight, sum[p]);
    }
  }
#pragma unroll
  for (int p = 0; p < count; p++) store(to + p * LANES, sum[p]);
}

INLINE void depthwise_rows(const int kernel, const int stride, const Map *in, const Map *out, const Layer *layer, int pad,
                           int y0, int y1) {
  const int tile = out->width < TILE ? 1 : TILE;
  for (int block = 0; block < out->blocks; block++) {
    const float *weights = layer->weights + block * (kernel * kernel + 1) * LANES;
    for (int y = y0; y < y1; y++) {
      const float *x = pixel(in, block, y * stride - pad) - pad * LANES;
      float *to = pixel(out, block, y);
      for (int begin = 0; begin < out->width; begin += tile) {
        if (begin > out->width - tile) begin = out->width - tile;
        const float *from = x + begin * stride * LANES;
        if (tile == TILE) depthwise_tile(TILE, kernel, stride, from, in->row, weights, to + begin * LANES);
        else depthwise_tile(1, kernel, stride, from, in->row, weights, to + begin * LANES);
      }
      finish(to, out->width, layer, block);
    }
  }
}

/* Rows y0 to y1; `pad` zeros lie above and left of the map, as many as needed below and right. */
EXPORT(depthwise)(const Map *in, const Map *out, const Layer *layer, int kernel, int stride, int pad, int y0, int y1) {
  if (kernel == 3 && stride == 1) depthwise_rows(3, 1, in, out, layer, pad, y0, y1);
  if (kernel == 3 && stride == 2) depthwise_rows(3, 2, in, out, layer, pad, y0, y1);
  if (kernel == 5 && stride == 1) depthwise_rows(5, 1, in, out, layer, pad, y0, y1);
  if (kernel == 5 && stride == 2) depthwise_rows(5, 2, in, out, layer, pad, y0, y1);
}

/* ---- First layer ------------------------------------------------------------------------------------------------ */

/* `count` pixels x 8 output channels of a full convolution of red, green and blue. */
INLINE void first_tile(const int count, const int kernel, const int stride, const float *x, int row,
                       const float *weights, float *to, int plane) {
  v128_t sum[TILE][2];
  for (int p = 0; p < count; p++)
    for (int v = 0; v < 2; v++) sum[p][v] = load(weights + v * LANES);
  weights += 2 * LANES;
#pragma clang loop unroll(disable)
  for (int ky = 0; ky < kernel; ky++, x += row)
#pragma clang loop unroll(disable)
    for (int kx = 0; kx < kernel; kx++)
#pragma unroll
      for (int color = 0; color < 3; color++, weights += 2 * LANES) {
        const v128_t w0 = load(weights), w1 = load(weights + LANES);
#pragma unroll
        for (int p = 0; p < count; p++) {
          const v128_t value = wasm_v128_load32_splat(x + (p * stride + kx) * LANES + color);
          sum[p][0] = multiply_add(value, w0, sum[p][0]);
          sum[p][1] = multiply_add(value, w1, sum[p][1]);
        }
      }
  for (int v = 0; v < 2; v++)
#pragma unroll
    for (int p = 0; p < count; p++) store(to + v * plane + p * LANES, sum[p][v]);
}

INLINE void first_rows(const int kernel, const int stride, const Map *in, const Map *out, const Layer *layer, int pad,
                       int y0, int y1) {
  const int tile = out->width < TILE ? 1 : TILE;
  for (int y = y0; y < y1; y++) {
    const float *weights = layer->weights;
    for (int block = 0; block < out->blocks; block += 2) {
      const float *x = pixel(in, 0, y * stride - pad) - pad * LANES;
      float *to = pixel(out, block, y);
      for (int begin = 0; begin < out->width; begin += tile) {
        if (begin > out->width - tile) begin = out->width - tile;
        const float *from = x + begin * stride * LANES;
        if (tile == TILE) first_tile(TILE, kernel, stride, from, in->row, weights, to + begin * LANES, out->plane);
        else first_tile(1, kernel, stride, from, in->row, weights, to + begin * LANES, out->plane);
      }
      for (int v = 0; v < 2; v++) finish(to + v * out->plane, out->width, layer, block + v);
      weights += 2 * LANES * (3 * kernel * kernel + 1);
    }
  }
}

/* Rows y0 to y1 of the full convolution of the picture; output channels are a multiple of eight. */
EXPORT(first)(const Map *in, const Map *out, const Layer *layer, int kernel, int stride, int pad, int y0, int y1) {
  if (kernel == 3 && stride == 1) first_rows(3, 1, in, out, layer, pad, y0, y1);
  if (kernel == 3 && stride == 2) first_rows(3, 2, in, out, layer, pad, y0, y1);
  if (kernel == 5 && stride == 2) first_rows(5, 2, in, out, layer, pad, y0, y1);
}

/* ---- Pooling, gates --------------------------------------------------------------------------------------------- */

/*
 * Rows y0 to y1 of the greatest of 2 x 2 pixels. The last column and the last row of an odd map stand alone; with
 * stride 1 this holds for every map.
 */
EXPORT(max_pool)(const Map *in, const Map *out, int stride, int y0, int y1) {
  for (int block = 0; block < out->blocks; block++)
    for (int y = y0; y < y1; y++) {
      const float *upper = pixel(in, block, y * stride);
      const float *lower = y * stride + 1 < in->height ? upper + in->row : upper;
      float *to = pixel(out, block, y);
      const int last = in->width - 1;
      for (int x = 0; x < out->width; x++, to += LANES) {
        const int left = x * stride * LANES, right = (x * stride < last ? x * stride + 1 : last) * LANES;
        store(to, greater(greater(load(upper + left), load(upper + right)), greater(load(lower + left), load(lower + right))));
      }
    }
}

/* Repeats row `from` of a map in the rows after it, before row `to`. */
EXPORT(repeat)(const Map *map, int from, int to) {
  for (int block = 0; block < map->blocks; block++)
    for (int y = from + 1; y < to; y++)
      __builtin_memcpy(pixel(map, block, y), pixel(map, block, from), map->width * LANES * sizeof(float));
}

/* The mean of each channel; four rows of sums would gain nothing, because the map comes from the cache. */
EXPORT(average)(const Map *in, const Map *out) {
  const v128_t share = splat(1.f / (in->width * in->height));
  for (int block = 0; block < in->blocks; block++) {
    v128_t sum = splat(0);
    for (int y = 0; y < in->height; y++) {
      const float *x = pixel(in, block, y);
      for (int i = 0; i < in->width; i++) sum = add(sum, load(x + i * LANES));
    }
    store(out->data + block * out->plane, multiply(sum, share));
  }
}

/* Multiplies each channel of a map by its gate, in place. */
EXPORT(scale)(const Map *map, const Map *gates) {
  for (int block = 0; block < map->blocks; block++) {
    const v128_t gate = load(gates->data + block * gates->plane);
    for (int y = 0; y < map->height; y++) {
      float *x = pixel(map, block, y);
      for (int i = 0; i < map->width; i++) store(x + i * LANES, multiply(load(x + i * LANES), gate));
    }
  }
}

/* ---- Weights of a file ------------------------------------------------------------------------------------------ */

/* Types of numbers in a file, with ONNX's own numbers. */
typedef enum { FLOAT32 = 1, INT8 = 3, FLOAT16 = 10, INT4 = 22 } Type;

/* Four numbers from number `i` on, which is even for INT4; infinities of 16 bits are not expected. */
INLINE v128_t numbers(const Type type, const uint8_t *raw, int i) {
  if (type == FLOAT32) return load((const float *)raw + i);
  if (type == INT8) {
    const v128_t bytes = wasm_v128_load32_zero(raw + i);
    return wasm_f32x4_convert_i32x4(wasm_i32x4_extend_low_i16x8(wasm_i16x8_extend_low_i8x16(bytes)));
  }
  if (type == INT4) {
    /* The products move each number to the upper end of its lane. */
    const v128_t pairs = wasm_v128_load16_splat(raw + i / 2);
    const v128_t tops = wasm_i32x4_mul(pairs, wasm_i32x4_const(1 << 28, 1 << 24, 1 << 20, 1 << 16));
    return wasm_f32x4_convert_i32x4(wasm_i32x4_shr(tops, 28));
  }
  const v128_t halves = wasm_u32x4_load16x4((const uint16_t *)raw + i);
  const v128_t sign = wasm_i32x4_shl(wasm_v128_and(halves, wasm_i32x4_splat(0x8000)), 16);
  const v128_t digits = wasm_i32x4_shl(wasm_v128_and(halves, wasm_i32x4_splat(0x7fff)), 13);
  /* float32's exponent is 112 higher; the product is right for the smallest numbers too. */
  return multiply(wasm_v128_or(sign, digits), splat(0x1p112f));
}

INLINE void pack_as(const Type type, const uint8_t *raw, const float *scales, int block, int skip, int channels, int lanes,
                    int depth, int inputs, int area, float *to) {
  const int row = depth * area, down = inputs * lanes, back = (area * inputs - 1) * lanes;
  for (int channel = 0; channel < channels; channel++) {
    float *at = to + channel;
    for (int i = 0, tap = 0; i < row; i += LANES) {
      const v128_t scale = splat(scales[(skip + channel * row + i) / block]);
      const v128_t four = multiply(numbers(type, raw, channel * row + i), scale);
      if (area == 1 && i + LANES <= row) {
        wasm_v128_store32_lane(at, four, 0);
        wasm_v128_store32_lane(at + lanes, four, 1);
        wasm_v128_store32_lane(at + 2 * lanes, four, 2);
        wasm_v128_store32_lane(at + 3 * lanes, four, 3);
        at += LANES * lanes;
        continue;
      }
      float values[LANES];
      store(values, four);
      for (int lane = 0; lane < LANES && i + lane < row; lane++) {
        *at = values[lane];
        at += down;
        if (++tap == area) tap = 0, at -= back;
      }
    }
  }
}

/*
 * Packs the weights of `channels` output channels [channels][depth][area] in the order of the kernels
 * [area][inputs][lanes]. Each of `scales` multiplies `block` weights, of which `skip` belong to channels before these; a
 * block is whole rows or a part of one that is a multiple of four.
 */
EXPORT(pack)(const uint8_t *raw, Type type, const float *scales, int block, int skip, int channels, int lanes, int depth,
             int inputs, int area, float *to) {
#define PACK(kind)                                                                                                     \
  case kind:                                                                                                           \
    pack_as(kind, raw, scales, block, skip, channels, lanes, depth, inputs, area, to);                                 \
    break
  switch (type) {
    PACK(FLOAT32);
    PACK(INT8);
    PACK(FLOAT16);
    PACK(INT4);
  }
#undef PACK
}

/* ---- Pixels of a face ------------------------------------------------------------------------------------------- */

/* The antialiased triangle filter along one axis: for each position of the result its first source and its weights. */
typedef struct {
  const int32_t *first;   /* [size] */
  const int32_t *weights; /* [size][count], sum 2^22 */
  int32_t count;
} Taps;

/* Bits after the point of a tap's weight, as in Pillow and onnxruntime. */
enum { FRACTION = 22 };

INLINE v128_t bytes_of(const uint8_t *pixel) {
  return wasm_u32x4_extend_low_u16x8(wasm_u16x8_extend_low_u8x16(wasm_v128_load32_zero(pixel)));
}

INLINE v128_t round_to_byte(v128_t sum) {
  const v128_t level = wasm_i32x4_shr(wasm_i32x4_add(sum, wasm_i32x4_splat(1 << (FRACTION - 1))), FRACTION);
  return wasm_i32x4_max(wasm_i32x4_min(level, wasm_i32x4_splat(255)), wasm_i32x4_splat(0));
}

/* What becomes of a picture: the size in pixels that it is resized to, and where that lies in the network's input. */
typedef struct {
  int32_t columns, rows, left, top;
} Fit;

/*
 * Resizes rows y0 to y1 of a picture, which begin at `pixels`, along both axes, and adds them to `sums`
 * [rows][columns][4]. `row` and `step` are the bytes from one row and one pixel to the next that count. `lines`
 * [y1 - y0][columns] takes the rows after the first axis, rounded to bytes, as Pillow and onnxruntime do. A picture of
 * any size passes through in strips: each row adds to the few rows of the result that it belongs to.
 */
EXPORT(resize)(const uint8_t *pixels, int row, int step, int y0, int y1, const Taps *across, const Taps *down,
               const Fit *fit, uint32_t *lines, int32_t *sums) {
  const int columns = fit->columns;
  for (int y = 0; y < y1 - y0; y++)
    for (int x = 0; x < columns; x++) {
      const uint8_t *from = pixels + y * row + step * across->first[x];
      const int32_t *weights = across->weights + x * across->count;
      v128_t sum = wasm_i32x4_splat(0);
      for (int i = 0; i < across->count; i++)
        sum = wasm_i32x4_add(sum, wasm_i32x4_mul(bytes_of(from + step * i), wasm_v128_load32_splat(weights + i)));
      const v128_t level = round_to_byte(sum);
      const v128_t narrow = wasm_i16x8_narrow_i32x4(level, level);
      wasm_v128_store32_lane(lines + y * columns + x, wasm_u8x16_narrow_i16x8(narrow, narrow), 0);
    }
  for (int target = 0; target < fit->rows; target++) {
    const int first = down->first[target], last = first + down->count;
    const int begin = first > y0 ? first : y0, end = last < y1 ? last : y1;
    const int32_t *weights = down->weights + target * down->count - first;
    for (int x = 0; x < columns && begin < end; x++) {
      int32_t *to = sums + (target * columns + x) * LANES;
      v128_t sum = wasm_v128_load(to);
      for (int y = begin; y < end; y++)
        sum = wasm_i32x4_add(sum, wasm_i32x4_mul(bytes_of((const uint8_t *)(lines + (y - y0) * columns + x)),
                                                 wasm_v128_load32_splat(weights + y)));
      wasm_v128_store(to, sum);
    }
  }
}

/*
 * Rounds the sums of `resize` to bytes, scales each color for the network, black around the picture, and clears the sums
 * for the next picture.
 */
EXPORT(normalize)(int32_t *sums, const Map *out, const Fit *fit, const float *gain, const float *offset) {
  const v128_t factor = load(gain), shift = load(offset);
  for (int y = 0; y < out->height; y++) {
    float *to = pixel(out, 0, y);
    const int is_picture = y >= fit->top && y < fit->top + fit->rows;
    for (int x = 0; x < out->width; x++, to += LANES) {
      v128_t level = splat(0);
      if (is_picture && x >= fit->left && x < fit->left + fit->columns) {
        level = wasm_f32x4_convert_i32x4(round_to_byte(wasm_v128_load(sums)));
        wasm_v128_store(sums, wasm_i32x4_splat(0));
        sums += LANES;
      }
      store(to, multiply_add(level, factor, shift));
    }
  }
}

/* ---- Pixels of a frame ------------------------------------------------------------------------------------------ */

/*
 * One row of the detector's input: face-api.js's bilinear interpolation between two rows of the frame, without
 * antialiasing, in its order of operations, then scaled for the network. Right of the frame is black; so is a row that
 * is null. Column x lies between `left[x]` and the pixel after it, at the share `across[x]`.
 */
EXPORT(sample)(const uint8_t *upper, const uint8_t *lower, int width, const int32_t *left, const int32_t *right,
               const float *across, float down, const float *gain, const float *offset, float *to, int columns) {
  const v128_t black = splat(0), factor = load(gain), shift = load(offset), share = splat(down);
  for (int x = 0; x < columns; x++, to += LANES) {
    v128_t corners[2][2];
    for (int row = 0; row < 2; row++)
      for (int column = 0; column < 2; column++) {
        const uint8_t *from = row ? lower : upper;
        const int at = column ? right[x] : left[x];
        corners[row][column] = from && at < width ? wasm_f32x4_convert_i32x4(bytes_of(from + 4 * at)) : black;
      }
    v128_t rows[2];
    for (int row = 0; row < 2; row++) {
      const v128_t step = wasm_f32x4_sub(corners[row][1], corners[row][0]);
      rows[row] = multiply_add(step, splat(across[x]), corners[row][0]);
    }
    const v128_t level = multiply_add(wasm_f32x4_sub(rows[1], rows[0]), share, rows[0]);
    store(to, multiply_add(level, factor, shift));
  }
}
