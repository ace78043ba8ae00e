/** @type {<T extends HTMLElement = HTMLElement>(id: string) => T} */
export const element = (id) => /** @type {any} */ (document.getElementById(id));
