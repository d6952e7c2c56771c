// What the pages that compute have in common: their state in the address, and how they paint.
// @ts-check

/** @typedef {{ width: number, height: number, pixels: Float32Array }} Picture grey, row by row */

// biome-ignore lint/correctness/noUnusedVariables: the pages' scripts use it
const explorable = {
    /**
     * What the address says, and for the rest what is usual, so that a link leads to the same state.
     * @template {Record<string, string | number>} T @param {T} usual @returns {T}
     */
    read(usual) {
        const words = new URLSearchParams(location.hash.slice(1));
        const state = /** @type {Record<string, string | number>} */ ({ ...usual });
        for (const name of Object.keys(usual)) {
            const word = words.get(name);
            if (word === null) continue;
            if (typeof usual[name] === "string") state[name] = word;
            else if (Number.isFinite(Number(word))) state[name] = Number(word);
        }
        return /** @type {T} */ (state);
    },

    /** @type {ReturnType<typeof setTimeout> | undefined} */
    writing: undefined,

    /** Puts the state into the address once it rests: Safari takes a hundred addresses in half a minute. @param {Record<string, string | number>} state */
    write(state) {
        if (location.protocol === "about:") return; // inside a notebook a page has no address
        const words = Object.entries(state).map(([name, value]) => [name, String(value)]);
        clearTimeout(explorable.writing);
        explorable.writing = setTimeout(() => history.replaceState(null, "", `#${new URLSearchParams(words)}`), 350);
    },

    /** The whole number in a field, within its bounds. @param {HTMLInputElement} input */
    whole(input) {
        return Math.min(Math.max(Math.round(Number(input.value)), Number(input.min)), Number(input.max));
    },

    /**
     * Paints `low` black and `high` white, or between two other colours.
     * @param {HTMLCanvasElement} canvas @param {Picture} picture @param {number} low @param {number} high
     * @param {(share: number) => number[]} [color] red, green and blue from 0 to 255
     */
    paint(canvas, { width, height, pixels }, low, high, color) {
        [canvas.width, canvas.height] = [width, height];
        const image = new ImageData(width, height);
        const { data } = image;
        for (let i = 0; i < width * height; i++) {
            const share = (pixels[i] - low) / (high - low);
            if (color) data.set(color(Math.min(Math.max(share, 0), 1)), 4 * i);
            else data[4 * i] = data[4 * i + 1] = data[4 * i + 2] = 255 * share;
            data[4 * i + 3] = 255;
        }
        canvas.getContext("2d", { willReadFrequently: true })?.putImageData(image, 0, 0);
    },

    /** Weights, of which 0 is grey. @param {HTMLCanvasElement} canvas @param {Float32Array} kernel of a square window */
    paintKernel(canvas, kernel) {
        const side = Math.sqrt(kernel.length);
        const largest = Math.max(...kernel.map(Math.abs), 1e-6);
        explorable.paint(canvas, { width: side, height: side, pixels: kernel }, -largest, largest);
    },

    /** @param {string} base64 */
    bytes(base64) {
        return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    },

    /** What gzip has packed. @param {string} base64 */
    async unpacked(base64) {
        const stream = new Blob([explorable.bytes(base64)]).stream().pipeThrough(new DecompressionStream("gzip"));
        return new Uint8Array(await new Response(stream).arrayBuffer());
    },

    /** A number with its thousands apart. @param {number} number */
    count(number) {
        return number.toLocaleString("en");
    },

    /** With the minus sign of the book's numbers. @param {string} number */
    minus(number) {
        return number.replace("-", "−");
    },

    /** An element of a drawing. @param {string} name @param {Record<string, string | number>} attributes */
    drawn(name, attributes) {
        const element = document.createElementNS("http://www.w3.org/2000/svg", name);
        for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, String(value));
        return element;
    },

    /** How far an arrow key goes: rows down and columns to the right. @param {KeyboardEvent} event */
    arrow(event) {
        const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
        if (step) {
            event.preventDefault();
            event.stopPropagation(); // the arrows turn the pages of the book too
        }
        return step;
    },
};

/**
 * In a frame of the book or of a notebook: as high as it has to be, and light or dark as what is around. On a disk, where each
 * file is a stranger, the page around is told the height (see site.js).
 */
function settle() {
    const root = document.documentElement;
    root.classList.add("explorable-framed");
    const frame = /** @type {HTMLElement | null} */ (window.frameElement);
    new ResizeObserver(() => {
        if (frame) frame.style.height = `${root.offsetHeight}px`;
        else parent.postMessage({ explorableHeight: root.offsetHeight }, "*");
    }).observe(root);
    if (!frame) return;
    const around = frame.ownerDocument;
    const follow = () => {
        const isLight = around.body.dataset.jpThemeLight; // JupyterLab's
        root.style.colorScheme = around.documentElement.dataset.theme ?? (isLight === undefined ? "" : isLight === "true" ? "light" : "dark");
    };
    follow();
    for (const element of [around.documentElement, around.body]) new MutationObserver(follow).observe(element, { attributes: true });
}
if (parent !== self) settle();

// A link to another state of the page that is open.
addEventListener("hashchange", () => location.hash.includes("=") && location.reload());
