/** One color for each class, as in `pyojeong.analysis.colors`. */

const OTHERS = ['#d99a1c', '#3f6fb0', '#c2473d', '#5f7f3f', '#b0506b', '#8a6fb3', '#1c8a94', '#6b7785'];

/**
 * Returns the color of each class as `#rrggbb`: the model's own, else any.
 *
 * @param {readonly string[]} classes in output order
 * @param {Readonly<Record<string, string>>} own by class; what is no color is passed over
 * @returns {Record<string, string>}
 */
export function colorsOf(classes, own) {
  const named = (/** @type {string} */ name, /** @type {number} */ index) =>
    /^#[0-9a-f]{6}$/i.test(own[name] ?? '') ? own[name] : OTHERS[index % OTHERS.length];
  return Object.fromEntries(classes.map((name, index) => [name, /** @type {string} */ (named(name, index))]));
}
