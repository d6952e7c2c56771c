// Opens every page of the site in Chromium: light and dark, wide and narrow. A message on the console, a picture that is missing, a
// page that moves sideways, a formula that stands apart, a link to no file or no place in it, or a fault that axe finds ends it with an
// error. The pages that compute are used by mouse, touch and keyboard, and their numbers compared with plain loops and with those of the
// same crate outside of the browser. A chapter is saved and opened from a disk.
//   node check.mjs FOLDER NUMBERS, with playwright-core and axe-core beside it
// @ts-check
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gunzipSync } from "node:zlib";
import { chromium } from "playwright-core";

/** @typedef {import("playwright-core").Page} Page */

const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 375, height: 800 };
/** When a page that computes has to have shown something, in milliseconds, and how often a second the filter has to be drawn. */
const FIRST_REACTION = 1000;
const FRAMES = 30;
/** What a page that computes shows first. */
const SHOWN = '[name="filters"] canvas, .explorable-answer:not(:empty), .explorable-sum:not([name]):not(:empty)';
/** What axe looks at: alternative texts, names of controls, and contrast in the sense of WCAG 2 AA. */
const RULES = ["image-alt", "button-name", "link-name", "label", "color-contrast", "heading-order"];
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/**
 * How the pages that compute are used by the mouse, by the keyboard and by touch, and what of their numbers is wrong.
 * @type {Record<string, { use: Use, type: Use, touch: Use, wrong: () => Promise<string[]> }>}
 * @typedef {(page: Page) => Promise<string[]>} Use which gives what went wrong
 */
const EXPLORABLES = {
    filter: { use: useFilter, type: typeFilter, touch: touchFilter, wrong: wrongPixels },
    receptive_field: { use: useReceptiveField, type: typeReceptiveField, touch: touchReceptiveField, wrong: wrongStack },
    layers: { use: useLayers, type: typeLayers, touch: touchLayers, wrong: wrongActivations },
    training: { use: useTraining, type: typeTraining, touch: touchTraining, wrong: async () => [] },
};

const [, , folder, numbers] = process.argv;
const pages = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".html") && !/^(doc|_static)\//.test(name))
    .sort();
if (pages.length < 20) throw new Error(`${pages.length} pages in ${folder}`);
/** A page that was saved to a disk lies there alone. */
const disk = mkdtempSync(join(tmpdir(), "saved-page-"));

const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"],
});
/** @type {string[]} */
const faults = await otherNumbers();
for (const name of Object.keys(EXPLORABLES)) await timeReaction(name);
await timeFilter();
await useSaved("notebooks/07_02_filters_and_convolution.html");
/** The places of the pages that were read. @type {Map<string, Set<string>>} */
const named = new Map();
const waiting = [...pages];
await Promise.all([0, 1].map(async () => {
    for (let name = waiting.shift(); name; name = waiting.shift()) await look(name);
}));
await browser.close();
rmSync(disk, { recursive: true });
console.log(`${pages.length} pages, ${faults.length} faults`);
for (const fault of faults) console.log(`  ${fault}`);
process.exit(faults.length ? 1 : 0);

/** The numbers of the crate as WebAssembly, here in Node, beside those that it gave without. */
async function otherNumbers() {
    const script = (/** @type {string} */ name) => readFileSync(join(folder, "_static", name), "utf8");
    const explorable = { unpacked: async (/** @type {string} */ base64) => gunzipSync(Buffer.from(base64, "base64")) };
    const load = new Function("explorable", `${script("dldna_web.js")}\n${script("digits.js")}\n${script("mnist.js")}\nreturn { wasm_bindgen, dldnaWeb, dldnaDigits, dldnaMnist };`);
    const { wasm_bindgen: web, dldnaWeb: ready, dldnaDigits: digits, dldnaMnist: mnist } = load(explorable);
    await ready;
    const { train, test } = await mnist();
    const training = new web.Training(8, 6, true, 0, train.pixels, train.labels, test.pixels, test.labels);
    const pattern = (/** @type {number} */ length) => Float32Array.from({ length }, (_, i) => ((i * 37) % 101) / 101);
    const layers = web.stack(97, 3, Uint32Array.from([6, 5, 1, 0, 1, 0, 2, 2, 0, 1, 16, 3, 2, 1, 1])).layers;
    /** @type {Record<string, ArrayLike<number>>} */
    const found = {
        filtered: web.filter(pattern(37 * 53), 53, pattern(25), 2, 1, 2).pixels,
        stack: layers.flatMap((/** @type {wasm_bindgen.LayerCost} */ layer) => [
            layer.channels, layer.side, layer.receptive_field, layer.jump, layer.start, layer.parameters, layer.multiply_adds,
        ]),
        activations: new web.Digits(Buffer.from(digits.weights, "base64")).activations(pattern(28 * 28)),
        losses: Array.from({ length: 10 }, () => training.step(0.003)),
    };
    const faults = [];
    for (const [name, expected] of Object.entries(JSON.parse(readFileSync(numbers, "utf8")))) {
        const wrong = expected.findIndex((/** @type {number} */ value, /** @type {number} */ i) => !(Math.abs(found[name][i] - value) <= 1e-4 * Math.max(1, Math.abs(value))));
        if (found[name].length !== expected.length || !expected.length) faults.push(`${name}: ${found[name].length} numbers for ${expected.length}`);
        else if (wrong >= 0) faults.push(`${name}, number ${wrong}: ${found[name][wrong]} for ${expected[wrong]}`);
    }
    return faults;
}

/** How long after the page the first reaction comes. @param {string} name */
async function timeReaction(name) {
    const page = await browser.newPage({ viewport: WIDE });
    await page.goto(address(`explore/${name}.html`));
    const time = await page.waitForFunction((shown) => document.querySelector(shown) && performance.now(), SHOWN, { polling: 10 });
    const milliseconds = Math.round(Number(await time.jsonValue()));
    console.log(`${name}: first reaction after ${milliseconds} ms`);
    if (milliseconds > FIRST_REACTION) faults.push(`${name}: the first reaction comes after ${milliseconds} ms`);
    await page.close();
}

/** How many frames a second the filter draws of a picture of 512x512, while a number is dragged. */
async function timeFilter() {
    const page = await browser.newPage({ viewport: WIDE });
    await page.goto(address("explore/filter.html"));
    await page.waitForSelector(SHOWN);
    const picture = await page.evaluate(() => {
        const canvas = document.createElement("canvas");
        canvas.width = canvas.height = 512;
        canvas.getContext("2d")?.fillRect(100, 100, 300, 300);
        return canvas.toDataURL().split(",")[1];
    });
    await page.setInputFiles('[name="picture"]', { name: "square.png", mimeType: "image/png", buffer: Buffer.from(picture, "base64") });
    await page.waitForFunction(() => document.querySelector('[name="output"]')?.textContent?.includes("512 pixels wide and 512 high"));
    const frames = await page.evaluate(async () => {
        const field = /** @type {HTMLInputElement} */ (document.querySelector('[name="k4"]'));
        const start = performance.now();
        for (let i = 0; i < 90; i++) {
            field.value = String(i / 10);
            field.dispatchEvent(new Event("input"));
            await new Promise(requestAnimationFrame);
        }
        return 90_000 / (performance.now() - start);
    });
    console.log(`filter: ${frames.toFixed(0)} frames a second at 512×512`);
    if (frames < FRAMES) faults.push(`the filter draws ${frames.toFixed(1)} frames a second`);
    await page.close();
}

/** @param {string} name of a page of the site */
function address(name) {
    return pathToFileURL(join(folder, name)).href;
}

/** Saves a page with formulas, a player and the filter, as it is when nobody has scrolled, and uses it. @param {string} name */
async function useSaved(name) {
    const page = await browser.newPage({ viewport: WIDE });
    const complain = (/** @type {string} */ fault) => void faults.push(`${name}, saved: ${fault}`);
    await page.goto(address(name));
    await page.waitForFunction(typeset).catch(() => complain("a formula is not drawn"));
    const frame = page.locator("iframe.explorable-here").contentFrame();
    // Playwright's Chromium loads every frame at once, so that what a reader's does is seen only by the attribute.
    const isEager = () => document.querySelector('iframe[loading="eager"]');
    await page.waitForFunction(isEager).catch(() => complain("a frame out of sight is not loaded"));
    await frame.locator('[name="preset"]').waitFor({ state: "attached" });
    const saved = await save(page);
    page.on("pageerror", (error) => complain(error.message));
    await page.goto(pathToFileURL(saved).href);
    if (await page.locator(".headerlink").first().isVisible()) complain("the links of headings are in sight");
    await page.locator(".dldna-player").getByLabel("Step forward").first().click();
    const step = await page.locator(".dldna-player .count").first().textContent();
    if (!step?.startsWith("step 2 of")) complain(`the player is at ${step}`);
    const sum = frame.locator(".explorable-sum");
    await page.locator("iframe.explorable-here").scrollIntoViewIfNeeded();
    await frame.locator(SHOWN).first().waitFor({ state: "attached" }).catch((error) => complain(error.message));
    const before = await sum.textContent();
    await frame.locator('[name="preset"]').selectOption("Blur");
    await page.waitForTimeout(300);
    if (!before || (await sum.textContent()) === before) complain("the frame computes nothing");
    const [given, needed] = [await page.locator("iframe.explorable-here").boundingBox(), await frame.locator("html").boundingBox()];
    if (Math.abs((given?.height ?? 0) - (needed?.height ?? 0)) > 1) complain(`the frame is ${given?.height} pixels high, and needs ${needed?.height}`);
    if (!(await page.evaluate(typeset))) complain("a formula is not drawn");
    await page.close();
}

/** Saves a page as a browser does: what it is now, its frames, and the files that it names. The address of its file. @param {Page} page */
async function save(page) {
    const { html, files } = await page.evaluate(() => {
        const copy = /** @type {HTMLElement} */ (document.documentElement.cloneNode(true));
        const frames = [...copy.querySelectorAll("iframe")];
        for (const [i, frame] of frames.entries()) frame.setAttribute("src", `frame-${i}.html`);
        /** @type {Record<string, string>} */
        const files = {};
        for (const element of copy.querySelectorAll("[src], link[rel=stylesheet]")) {
            const name = element.hasAttribute("src") ? "src" : "href";
            const link = /** @type {any} */ (element)[name];
            if (frames.includes(/** @type {HTMLIFrameElement} */ (element)) || !link.startsWith("file:")) continue;
            files[link] ??= `${Object.keys(files).length}-${link.split("/").at(-1)?.split("?")[0]}`;
            element.setAttribute(name, files[link]);
        }
        return { html: copy.outerHTML, files };
    });
    for (const [link, file] of Object.entries(files)) copyFileSync(fileURLToPath(link.split("?")[0]), join(disk, file));
    for (const [i, frame] of page.mainFrame().childFrames().entries()) writeFileSync(join(disk, `frame-${i}.html`), await frame.content());
    const saved = join(disk, "saved.html");
    writeFileSync(saved, `<!doctype html>\n${html}`);
    return saved;
}

/** Whether the formulas are drawn: each has signs that take place. */
function typeset() {
    const widths = [...document.querySelectorAll(".math")].map((formula) => formula.querySelector("svg > g")?.getBoundingClientRect().width);
    return widths.every((width) => width && width > 0);
}

/** Formulas beside which there are words in their paragraph, but none in their line. */
function apart() {
    const formulas = [...document.querySelectorAll("p > span.math")];
    return formulas.filter((formula) => {
        const { top, bottom } = formula.getBoundingClientRect();
        const words = [...(formula.parentElement?.childNodes ?? [])].filter((node) => node !== formula && node.textContent?.trim());
        const lines = words.flatMap((node) => {
            const range = document.createRange();
            range.selectNode(node);
            return [...range.getClientRects()];
        });
        const middle = (top + bottom) / 2;
        return lines.length > 0 && !lines.some((line) => line.top < middle && middle < line.bottom);
    }).map((formula) => formula.textContent?.slice(0, 60));
}

/** @param {string} name */
async function look(name) {
    const page = await browser.newPage({ viewport: WIDE });
    const complain = (/** @type {string} */ fault) => void faults.push(`${name}: ${fault}`);
    page.on("console", (message) => message.type() === "error" && complain(message.text()));
    page.on("pageerror", (error) => complain(error.message));
    const isAlone = name.startsWith("alone/");
    const saved = join(disk, basename(name));
    if (isAlone) copyFileSync(join(folder, name), saved);
    await page.goto(isAlone ? pathToFileURL(saved).href : address(name));
    await page.evaluate(() => {
        const images = [...document.images];
        for (const image of images) image.loading = "eager";
        return Promise.allSettled(images.map((image) => image.decode()));
    });
    for (const fault of await deadLinks(page)) complain(fault);
    await page.waitForFunction(typeset).catch(() => complain("a formula is not drawn"));
    for (const formula of await page.evaluate(apart)) complain(`not in its line: ${formula}`);
    const [, explorable] = name.match(/^(?:explore|alone)\/(\w+)\.html$/) ?? [];
    if (explorable && explorable !== "index") {
        const { use, type, touch, wrong } = EXPLORABLES[explorable];
        for (const fault of await use(page)) complain(fault);
        for (const fault of await page.evaluate(wrong)) complain(fault);
        for (const fault of await unreachable(page)) complain(fault);
        for (const fault of await type(page)) complain(`by keyboard: ${fault}`);
        const phone = await browser.newPage({ viewport: NARROW, hasTouch: true });
        await phone.goto(page.url().split("#")[0]);
        await phone.waitForSelector(SHOWN);
        for (const fault of await touch(phone)) complain(`by touch: ${fault}`);
        await phone.close();
    }
    if (name === "index.html") for (const fault of await stepPlayer(page)) complain(fault);
    if (isAlone) await showInNotebook(join(folder, name), complain);
    for (const frame of await page.locator("iframe.explorable-here").all()) {
        await frame.scrollIntoViewIfNeeded(); // it is loaded when it comes into view
        await frame.contentFrame().locator(SHOWN).first().waitFor({ state: "attached" }).catch((error) => complain(error.message));
    }
    for (const source of await page.evaluate(missingPictures)) complain(`no picture at ${source}`);
    for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
        await page.emulateMedia({ colorScheme });
        for (const size of [WIDE, NARROW]) {
            await page.setViewportSize(size);
            const sideways = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
            if (sideways > 0) complain(`${sideways} pixels too wide at ${size.width}, ${colorScheme}`);
        }
        await page.setViewportSize(WIDE);
        for (const fault of await accessibility(page)) complain(`${colorScheme}: ${fault}`);
    }
    await page.close();
}

/** Links to files of the site that are not there, or to no place in them. @param {Page} page */
async function deadLinks(page) {
    const links = await page.evaluate(() => {
        const frames = [...document.querySelectorAll("iframe")].map((frame) => frame.src);
        const icon = /** @type {HTMLLinkElement | null} */ (document.querySelector("link[rel~=icon]"));
        return [...[...document.links].map((link) => link.href), ...frames, icon?.href ?? "file:///favicon.ico"];
    });
    const faults = [];
    for (const link of new Set(links.filter((link) => link.startsWith("file:")))) {
        const file = fileURLToPath(link.split(/[#?]/)[0]);
        const place = decodeURIComponent(new URL(link).hash.slice(1));
        if (!existsSync(file)) faults.push(`no file at ${link}`);
        else if (place && !place.includes("=") && !places(file).has(place)) faults.push(`no such place: ${link}`);
    }
    return faults;
}

/** What in a page has a name. @param {string} file */
function places(file) {
    const known = named.get(file) ?? new Set([...readFileSync(file, "utf8").matchAll(/\bid="([^"]+)"/g)].map(([, id]) => id));
    named.set(file, known);
    return known;
}

/** Opens a page as `dldna::web::explorable` shows it, in a frame without an address. @param {string} file @param {(fault: string) => void} complain */
async function showInNotebook(file, complain) {
    const page = await browser.newPage();
    page.on("console", (message) => message.type() === "error" && complain(`in a frame: ${message.text()}`));
    page.on("pageerror", (error) => complain(`in a frame: ${error.message}`));
    await page.setContent("<iframe></iframe>");
    await page.evaluate((text) => (/** @type {HTMLIFrameElement} */ (document.querySelector("iframe")).srcdoc = text), readFileSync(file, "utf8"));
    await page.frameLocator("iframe").locator(SHOWN).first().waitFor({ state: "attached" }).catch((error) => complain(`in a frame: ${error.message}`));
    await page.close();
}

/** The player's slider by arrow keys, which JupyterLab has to leave to it. @param {Page} page */
async function stepPlayer(page) {
    const slider = page.locator(".dldna-player input[type=range]").first();
    await page.evaluate(() => document.addEventListener("keydown", () => (document.body.dataset.heard = "yes"), true));
    await slider.press("ArrowRight");
    const step = await slider.inputValue();
    const isOurs = await page.evaluate(() => document.body.dataset.heard === undefined);
    return step === "2" && isOurs ? [] : [`an arrow key leads the player to step ${step}, and ${isOurs ? "not " : ""}to the document`];
}

/** Controls that the tabulator does not reach, or of which nobody sees that they are reached. @param {Page} page */
async function unreachable(page) {
    await page.evaluate(() => {
        const place = /** @type {HTMLElement} */ (document.querySelector(".explorable"));
        place.tabIndex = -1;
        place.focus();
    });
    const reached = [];
    for (;;) {
        await page.keyboard.press("Tab");
        const found = await page.evaluate(() => {
            const element = /** @type {HTMLElement} */ (document.activeElement);
            if (!element.closest(".explorable")) return undefined;
            const isSeen = [element, element.parentElement].some((shown) => shown && getComputedStyle(shown).outlineStyle !== "none");
            return { name: element.outerHTML.slice(0, 80), isSeen };
        });
        if (!found || reached.length > 200) break;
        reached.push(found);
    }
    const count = await page.evaluate(() => {
        const controls = [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".explorable :is(button, input, select, [tabindex])"))];
        return controls.filter((control) => control.checkVisibility()).length;
    });
    const faults = reached.filter(({ isSeen }) => !isSeen).map(({ name }) => `no ring around ${name}`);
    return reached.length === count ? faults : [...faults, `the tabulator reaches ${reached.length} of ${count} controls`];
}

/** A finger goes from one place to another. @param {Page} page @param {string} selector @param {[number, number]} from shares of the element @param {[number, number]} to */
async function swipe(page, selector, from, to) {
    const element = page.locator(selector);
    await element.scrollIntoViewIfNeeded();
    const frame = await element.boundingBox();
    if (!frame) throw new Error(`no ${selector}`);
    const session = await page.context().newCDPSession(page);
    const steps = 20;
    for (let i = 0; i <= steps; i++) {
        const [x, y] = [0, 1].map((axis) => from[axis] + ((to[axis] - from[axis]) * i) / steps);
        const touchPoints = [{ x: frame.x + x * frame.width, y: frame.y + y * frame.height }];
        await session.send("Input.dispatchTouchEvent", { type: i ? "touchMove" : "touchStart", touchPoints });
    }
    await session.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
    await page.waitForTimeout(100);
}

/** Drags and chooses a kernel, and looks through the camera. @param {Page} page */
async function useFilter(page) {
    await page.waitForSelector(SHOWN);
    const faults = [];
    await page.selectOption('[name="preset"]', "Nothing");
    const frame = await page.locator('[name="k4"]').boundingBox();
    if (!frame) return ["there is no kernel"];
    await page.mouse.move(frame.x + 10, frame.y + 10);
    await page.mouse.down();
    await page.mouse.move(frame.x + 50, frame.y + 10, { steps: 10 });
    await page.mouse.up();
    const dragged = await page.inputValue('[name="k4"]');
    if (dragged !== "2") faults.push(`dragged 40 pixels, 1 becomes ${dragged}`);
    await page.click('[name="k4"]');
    await page.keyboard.type("3");
    if ((await page.inputValue('[name="k4"]')) !== "3") faults.push("a click is not there to type");
    await page.selectOption('[name="preset"]', "Sharpen");
    const words = () => page.textContent(".explorable-sum");
    const before = await words();
    await page.hover('[name="before"]', { position: { x: 20, y: 20 } });
    if ((await words()) === before) faults.push("pointing at the picture moves nothing");
    await page.waitForTimeout(1000); // the address follows when the state rests
    if (!page.url().includes("kernel=0%2C-1%2C0")) faults.push(`the address is ${page.url()}`);
    await page.click('[name="camera"]');
    const seen = () => page.evaluate(() => /** @type {HTMLCanvasElement} */ (document.querySelector('[name="before"]')).toDataURL());
    const first = await seen();
    await page.waitForTimeout(1500);
    const second = await seen();
    await page.click('[name="camera"]');
    await page.waitForTimeout(300);
    const kept = await seen();
    await page.waitForTimeout(300);
    if (first === second) faults.push("the camera shows nothing");
    if (kept !== (await seen())) faults.push("the camera goes on");
    return faults;
}

/** @param {Page} page */
async function typeFilter(page) {
    const faults = [];
    const words = () => page.textContent(".explorable-sum");
    await page.focus('[name="k4"]');
    const before = await words();
    await page.keyboard.press("ArrowUp");
    await page.waitForTimeout(100);
    const [stepped, then] = [await page.inputValue('[name="k4"]'), await words()];
    if (stepped !== "5.25" || then === before) faults.push(`an arrow key makes ${stepped} of 5`);
    await page.focus('[name="after"]');
    await page.keyboard.press("ArrowRight");
    if ((await words()) === then) faults.push("an arrow key does not move the window");
    return faults;
}

/** @param {Page} page */
async function touchFilter(page) {
    const faults = [];
    const before = await page.textContent(".explorable-sum");
    await swipe(page, '[name="k4"]', [0.2, 0.5], [0.8, 0.5]);
    const dragged = Number(await page.inputValue('[name="k4"]'));
    if (!(dragged > 0.5)) faults.push(`a dragged number is ${dragged}`);
    await page.tap('[name="after"]', { position: { x: 30, y: 30 } });
    if ((await page.textContent(".explorable-sum")) === before) faults.push("a tap moves nothing");
    return faults;
}

/** @param {Page} page */
async function useReceptiveField(page) {
    await page.waitForSelector(".explorable-sum:not(:empty)");
    await page.selectOption('[name="preset"]', "AlexNet");
    const faults = [];
    const row = await page.textContent(".explorable-layers tbody tr:last-child");
    if (!row?.includes("195×195")) faults.push(`AlexNet sees 195×195 pixels, not ${row}`);
    const before = await page.textContent(".explorable-sum");
    await page.press(".explorable-field", "ArrowLeft");
    if ((await page.textContent(".explorable-sum")) === before) faults.push("an arrow key moves nothing");
    await page.click('[name="convolution"]');
    await page.fill(".explorable-layers tbody tr:last-child [data-field=kernel]", "15");
    if (!(await page.textContent(".explorable-problem"))?.includes("does not fit")) faults.push("a kernel that is too large is not told");
    return faults;
}

/** @param {Page} page */
async function typeReceptiveField(page) {
    const rows = () => page.locator(".explorable-layers tbody tr").count();
    const before = await rows();
    await page.focus('[name="pooling"]');
    await page.keyboard.press("Enter");
    const more = await rows();
    await page.focus(".explorable-layers tbody tr:first-child td:last-child button");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Enter"); // the next row's button has the focus
    return more === before + 1 && (await rows()) === before - 1 ? [] : [`${before} layers, ${more} with one more, ${await rows()} without two`];
}

/** @param {Page} page */
async function touchReceptiveField(page) {
    const before = await page.textContent(".explorable-sum");
    await page.tap(".explorable-field", { position: { x: 60, y: 60 } });
    return (await page.textContent(".explorable-sum")) === before ? ["a tap moves nothing"] : [];
}

/** Draws a 1. @param {Page} page */
async function useLayers(page) {
    await page.waitForSelector(".explorable-answer:not(:empty)");
    const paper = page.locator('[name="paper"]');
    await page.click('[name="clear"]');
    const frame = await paper.boundingBox();
    if (!frame) return ["there is no paper"];
    const at = (/** @type {number} */ x, /** @type {number} */ y) => /** @type {const} */ ([frame.x + x * frame.width, frame.y + y * frame.height]);
    await page.mouse.move(...at(0.55, 0.15));
    await page.mouse.down();
    await page.mouse.move(...at(0.45, 0.85), { steps: 20 });
    await page.mouse.up();
    await page.click('[data-layer="2"][data-channel="5"]');
    const answer = await page.textContent(".explorable-answer");
    if (!answer?.includes("reads a 1")) return [`a drawn 1: ${answer}`];
    await page.waitForTimeout(1000); // the address follows when the state rests
    await page.reload();
    await page.waitForSelector(".explorable-answer:not(:empty)");
    const again = await page.textContent(".explorable-answer");
    return again === answer ? [] : [`the address leads to: ${again}`];
}

/** A line downwards. @param {Page} page */
async function typeLayers(page) {
    await page.click('[name="clear"]');
    await page.focus('[name="paper"]');
    await page.keyboard.press("Space");
    for (let i = 0; i < 20; i++) await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Space");
    await page.waitForTimeout(200);
    const answer = await page.textContent(".explorable-answer");
    return answer?.includes("reads a 1") ? [] : [`a line: ${answer}`];
}

/** @param {Page} page */
async function touchLayers(page) {
    await swipe(page, '[name="paper"]', [0.55, 0.15], [0.45, 0.85]);
    const answer = await page.textContent(".explorable-answer");
    return answer?.includes("reads a 1") ? [] : [`a drawn 1: ${answer}`];
}

/** Some steps. @param {Page} page */
async function useTraining(page) {
    const steps = async () => Number((await page.textContent('[name="said"]'))?.match(/^Step (\d+)/)?.[1]);
    await page.waitForSelector('[name="filters"] canvas');
    await page.click('[name="step"]');
    await page.waitForFunction(() => document.querySelector('[name="said"]')?.textContent?.startsWith("Step 1,"));
    await page.click('[name="run"]');
    await page.waitForFunction(() => Number(document.querySelector('[name="said"]')?.textContent?.match(/^Step (\d+)/)?.[1]) > 20);
    await page.click('[name="run"]');
    await page.waitForTimeout(500);
    const paused = await steps();
    await page.waitForTimeout(500);
    const faults = (await steps()) === paused ? [] : ["it does not pause"];
    const points = await page.getAttribute('[name="accuracy"] polyline', "points");
    return (points?.split(" ").length ?? 0) > 2 ? faults : [...faults, `the accuracy's line is ${points}`];
}

/** @param {Page} page */
async function typeTraining(page) {
    await page.focus('[name="reset"]');
    await page.keyboard.press("Enter");
    await page.focus('[name="shortcut"]');
    await page.keyboard.press("Space");
    await page.focus('[name="step"]');
    await page.keyboard.press("Enter");
    const isStep = () => document.querySelector('[name="said"]')?.textContent?.startsWith("Step 1,");
    const faults = await page.waitForFunction(isStep).then(() => [], () => ["there is no step"]);
    await page.waitForTimeout(1000);
    return page.url().includes("shortcut=0") ? faults : [...faults, `the address is ${page.url()}`];
}

/** @param {Page} page */
async function touchTraining(page) {
    await page.tap('[name="run"]');
    const isRunning = () => Number(document.querySelector('[name="said"]')?.textContent?.match(/^Step (\d+)/)?.[1]) > 10;
    return page.waitForFunction(isRunning).then(() => [], () => ["it does not start"]);
}

/** Some pixels of convolutions by the crate beside those of four loops. */
async function wrongPixels() {
    await dldnaWeb;
    const [height, width] = [37, 53];
    const picture = Float32Array.from({ length: height * width }, (_, i) => Math.sin(i * i));
    const faults = [];
    for (const [side, stride, padding, dilation] of [[3, 1, 1, 1], [5, 2, 0, 1], [3, 3, 4, 3], [1, 1, 0, 1]]) {
        const kernel = Float32Array.from({ length: side * side }, (_, i) => Math.cos(i));
        const made = wasm_bindgen.filter(picture, width, kernel, stride, padding, dilation);
        if (!made) return ["the window does not fit"];
        const pixels = made.pixels;
        for (let row = 0; row < made.height; row++) {
            for (let column = 0; column < made.width; column++) {
                let sum = 0;
                for (let i = 0; i < side * side; i++) {
                    const y = row * stride - padding + Math.floor(i / side) * dilation;
                    const x = column * stride - padding + (i % side) * dilation;
                    if (y >= 0 && x >= 0 && y < height && x < width) sum += picture[y * width + x] * kernel[i];
                }
                const found = pixels[row * made.width + column];
                if (!(Math.abs(found - sum) < 1e-4)) faults.push(`${[side, stride, padding, dilation]}: ${found} for ${sum}`);
            }
        }
    }
    return faults.slice(0, 3);
}

/** Sizes, receptive fields and costs by the crate beside those by the formulas. */
async function wrongStack() {
    await dldnaWeb;
    const layers = [[6, 5, 1, 0, 1], [0, 2, 2, 0, 1], [16, 3, 2, 1, 1], [8, 3, 1, 4, 4], [0, 3, 2, 1, 1]];
    const found = wasm_bindgen.stack(97, 3, Uint32Array.from(layers.flat())).layers;
    let [channels, side, field, jump, start] = [3, 97, 1, 1, 0];
    /** @type {string[]} */
    const faults = [];
    layers.forEach(([out, kernel, stride, padding, dilation], index) => {
        side = Math.floor((side + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1;
        field += (kernel - 1) * dilation * jump;
        start -= padding * jump;
        jump *= stride;
        const weights = out * channels * kernel * kernel;
        channels = out || channels;
        const expected = { channels, side, receptive_field: field, jump, start, parameters: weights + out, multiply_adds: weights * side * side };
        for (const [name, value] of Object.entries(expected)) {
            const given = found[index]?.[/** @type {keyof typeof expected} */ (name)];
            if (given !== value) faults.push(`layer ${index}: ${name} ${given} for ${value}`);
        }
    });
    return faults;
}

/** What the network's layers give by the crate, beside plain loops over the weights in its file. */
async function wrongActivations() {
    await dldnaWeb;
    const file = explorable.bytes(dldnaDigits.weights);
    const length = Number(new DataView(file.buffer).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)));
    const tensor = (/** @type {string} */ name) => {
        const [from, to] = header[name].data_offsets;
        return new Float32Array(file.slice(8 + length + from, 8 + length + to).buffer);
    };
    const { test } = await dldnaMnist();
    const network = new wasm_bindgen.Digits(file);
    const faults = [];
    for (const index of [0, 100]) {
        const image = Float32Array.from(test.pixels.subarray(index * 784, (index + 1) * 784), (pixel) => pixel / 255);
        const expected = [];
        let [planes, channels, side] = [image, 1, 28];
        for (const [layer, out, kernel] of /** @type {const} */ ([["conv1", 8, 5], ["conv2", 16, 3], ["conv3", 32, 3]])) {
            const [weight, bias, padding] = [tensor(`${layer}.weight`), tensor(`${layer}.bias`), (kernel - 1) / 2];
            const result = new Float32Array(out * side * side);
            for (let o = 0; o < result.length; o++) {
                const [to, y, x] = [Math.floor(o / (side * side)), Math.floor(o / side) % side, o % side];
                let sum = bias[to];
                for (let k = 0; k < channels * kernel * kernel; k++) {
                    const [from, i, j] = [Math.floor(k / (kernel * kernel)), Math.floor(k / kernel) % kernel, k % kernel];
                    const [row, column] = [y + i - padding, x + j - padding];
                    if (row < 0 || column < 0 || row >= side || column >= side) continue;
                    sum += planes[(from * side + row) * side + column] * weight[to * channels * kernel * kernel + k];
                }
                result[o] = Math.max(sum, 0);
            }
            expected.push(...result);
            [planes, channels] = [result, out];
            if (layer === "conv3") break;
            const half = side / 2;
            planes = Float32Array.from({ length: out * half * half }, (_, o) => {
                const at = Math.floor(o / (half * half)) * side * side + 2 * (Math.floor(o / half) % half) * side + 2 * (o % half);
                return Math.max(result[at], result[at + 1], result[at + side], result[at + side + 1]);
            });
            side = half;
        }
        const [weight, bias] = [tensor("fc.weight"), tensor("fc.bias")];
        for (let digit = 0; digit < 10; digit++) {
            expected.push(planes.reduce((sum, value, i) => sum + value * weight[digit * planes.length + i], bias[digit]));
        }
        const found = network.activations(image);
        if (found.length !== expected.length) faults.push(`${found.length} values for ${expected.length}`);
        const wrong = expected.findIndex((value, i) => !(Math.abs(found[i] - value) < 1e-3));
        if (wrong >= 0) faults.push(`image ${index}, value ${wrong}: ${found[wrong]} for ${expected[wrong]}`);
    }
    return faults;
}

function missingPictures() {
    return [...document.images].filter((image) => !image.naturalWidth).map((image) => image.src.slice(-60));
}

/** @param {Page} page */
async function accessibility(page) {
    await page.evaluate(AXE);
    const rules = { runOnly: RULES, resultTypes: ["violations"], iframes: false };
    const found = await page.evaluate((rules) => axe.run(document, rules), rules);
    return found.violations.map(
        (/** @type {any} */ { id, nodes }) => `${id}, ${nodes.length} times, such as ${nodes[0].html.slice(0, 120)}`,
    );
}
