// The frames of a page: the explorables in it.
// @ts-check

const framed = () => /** @type {NodeListOf<HTMLIFrameElement>} */ (document.querySelectorAll("iframe.explorable-here"));

// Once the page stands, also those that are not in view: a page that is saved to a disk has only what was loaded.
addEventListener("load", () => {
    if (/** @type {any} */ (navigator).connection?.saveData) return;
    const whenIdle = window.requestIdleCallback ?? setTimeout; // Safari has none
    whenIdle(() => {
        for (const frame of framed()) frame.loading = "eager";
    });
});

// From a disk a frame cannot reach its page, and says how high it is.
addEventListener("message", ({ source, data }) => {
    const frame = [...framed()].find(({ contentWindow }) => contentWindow === source);
    if (frame && data?.explorableHeight > 0) frame.style.height = `${data.explorableHeight}px`;
});
