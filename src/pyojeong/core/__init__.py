"""What every stage shares: labels, geometry, images, tables, metrics, files and the layout of a workspace.

Input: paths, bytes, arrays. Output: checked tables, upright pixels, regions, scores, files that appear whole. Any
package may import from here; nothing here imports another package of pyojeong.
"""
