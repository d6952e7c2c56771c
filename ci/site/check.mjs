// Opens every page of the site in Chromium: light and dark, wide and narrow. A message on the console, a picture that is missing, a
// page that moves sideways, a link to no file, or a fault that axe finds ends it with an error. The pages that compute are used, and
// their numbers compared with plain loops and with those of the same crate outside of the browser.
//   node check.mjs FOLDER LOSSES, with playwright-core and axe-core beside it
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 375, height: 800 };
/** What axe looks at: alternative texts, names of controls, and contrast in the sense of WCAG 2 AA. */
const RULES = ["image-alt", "button-name", "link-name", "label", "color-contrast", "heading-order"];
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** How the pages that compute are used, and what of their numbers is wrong. */
const EXPLORABLES = {
    filter: [useFilter, wrongPixels],
    receptive_field: [useReceptiveField, wrongStack],
    layers: [useLayers, wrongActivations],
    training: [useTraining, wrongLosses],
};

const folder = process.argv[2];
/** What `train_digits` has lost step by step, in the same network as the page's. */
const losses = JSON.parse(readFileSync(process.argv[3], "utf8"));
const pages = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".html") && !/^(doc|_static)\//.test(name))
    .sort();
if (pages.length < 20) throw new Error(`${pages.length} pages in ${folder}`);

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
/** @type {string[]} */
const faults = [];
const waiting = [...pages];
await Promise.all([0, 1].map(async () => {
    for (let name = waiting.shift(); name; name = waiting.shift()) await look(name);
}));
await browser.close();
console.log(`${pages.length} pages, ${faults.length} faults`);
for (const fault of faults) console.log(`  ${fault}`);
process.exit(faults.length ? 1 : 0);

/** @param {string} name */
async function look(name) {
    const page = await browser.newPage({ viewport: WIDE });
    const complain = (/** @type {string} */ fault) => faults.push(`${name}: ${fault}`);
    page.on("console", (message) => message.type() === "error" && complain(message.text()));
    page.on("pageerror", (error) => complain(error.message));
    await page.goto(pathToFileURL(join(folder, name)).href);
    await page.evaluate(() => {
        const images = [...document.images];
        for (const image of images) image.loading = "eager";
        return Promise.allSettled(images.map((image) => image.decode()));
    });
    for (const fault of await deadLinks(page)) complain(fault);
    const [, explorable] = name.match(/^(?:explore|alone)\/(\w+)\.html$/) ?? [];
    if (explorable && explorable !== "index") {
        const [use, wrong] = EXPLORABLES[explorable];
        for (const fault of await use(page)) complain(fault);
        for (const fault of await page.evaluate(wrong, losses)) complain(fault);
    }
    if (name.startsWith("alone/")) await showInNotebook(join(folder, name), complain);
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

/** Links to files of the site that are not there. @param {import("playwright-core").Page} page */
async function deadLinks(page) {
    const links = await page.evaluate(() => [...document.links].map((link) => link.href.split(/[#?]/)[0]));
    const files = [...new Set(links)].filter((link) => link.startsWith("file:"));
    return files.filter((link) => !existsSync(fileURLToPath(link))).map((link) => `no file at ${link}`);
}

/** Opens a page as `dldna::web::explorable` shows it, in a frame without an address. @param {string} file @param {(fault: string) => void} complain */
async function showInNotebook(file, complain) {
    const page = await browser.newPage();
    page.on("console", (message) => message.type() === "error" && complain(`in a frame: ${message.text()}`));
    page.on("pageerror", (error) => complain(`in a frame: ${error.message}`));
    await page.setContent("<iframe></iframe>");
    await page.evaluate((text) => (/** @type {HTMLIFrameElement} */ (document.querySelector("iframe")).srcdoc = text), readFileSync(file, "utf8"));
    const shown = '[name="filters"] canvas, .explorable-answer:not(:empty), .explorable-sum:not([name]):not(:empty)';
    await page.frameLocator("iframe").locator(shown).first().waitFor({ state: "attached" }).catch((error) => complain(`in a frame: ${error.message}`));
    await page.close();
}

/** @param {import("playwright-core").Page} page */
async function useFilter(page) {
    await page.waitForSelector(".explorable-sum:not(:empty)");
    await page.selectOption('[name="preset"]', "Sharpen");
    await page.waitForTimeout(1000); // the address follows when the state rests
    return page.url().includes("kernel=0%2C-1%2C0") ? [] : [`the address is ${page.url()}`];
}

/** @param {import("playwright-core").Page} page */
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

/** Draws a 1. @param {import("playwright-core").Page} page */
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

/** Some steps. @param {import("playwright-core").Page} page */
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

/** Some pixels of convolutions by the crate beside those of four loops. */
async function wrongPixels() {
    // @ts-expect-error these are in the page
    await dldnaWeb;
    const [height, width] = [37, 53];
    const picture = Float32Array.from({ length: height * width }, (_, i) => Math.sin(i * i));
    const faults = [];
    for (const [side, stride, padding, dilation] of [[3, 1, 1, 1], [5, 2, 0, 1], [3, 3, 4, 3], [1, 1, 0, 1]]) {
        const kernel = Float32Array.from({ length: side * side }, (_, i) => Math.cos(i));
        // @ts-expect-error
        const made = wasm_bindgen.filter(picture, width, kernel, stride, padding, dilation);
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
    // @ts-expect-error
    await dldnaWeb;
    const layers = [[6, 5, 1, 0, 1], [0, 2, 2, 0, 1], [16, 3, 2, 1, 1], [8, 3, 1, 4, 4], [0, 3, 2, 1, 1]];
    // @ts-expect-error
    const found = wasm_bindgen.stack(97, 3, Uint32Array.from(layers.flat())).layers;
    let [channels, side, field, jump, start] = [3, 97, 1, 1, 0];
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
            if (found[index]?.[name] !== value) faults.push(`layer ${index}: ${name} ${found[index]?.[name]} for ${value}`);
        }
    });
    return faults;
}

/** What the network's layers give by the crate, beside plain loops over the weights in its file. */
async function wrongActivations() {
    // @ts-expect-error
    await dldnaWeb;
    // @ts-expect-error
    const file = explorable.bytes(dldnaDigits.weights);
    const length = Number(new DataView(file.buffer).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)));
    const tensor = (/** @type {string} */ name) => {
        const [from, to] = header[name].data_offsets;
        return new Float32Array(file.slice(8 + length + from, 8 + length + to).buffer);
    };
    // @ts-expect-error
    const { test } = await dldnaMnist();
    // @ts-expect-error
    const network = new wasm_bindgen.Digits(file);
    const faults = [];
    for (const index of [0, 100]) {
        const image = Float32Array.from(test.pixels.subarray(index * 784, (index + 1) * 784), (pixel) => pixel / 255);
        const expected = [];
        let [planes, channels, side] = [image, 1, 28];
        for (const [layer, out, kernel] of [["conv1", 8, 5], ["conv2", 16, 3], ["conv3", 32, 3]]) {
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

/** The first losses of a training in the page beside those of the same training outside. @param {number[]} losses */
async function wrongLosses(losses) {
    // @ts-expect-error
    await dldnaWeb;
    // @ts-expect-error
    const { train, test } = await dldnaMnist();
    // @ts-expect-error
    const training = new wasm_bindgen.Training(8, 6, true, 0, train.pixels, train.labels, test.pixels, test.labels);
    const found = losses.map(() => training.step(0.003));
    const wrong = losses.findIndex((loss, i) => !(Math.abs(found[i] - loss) < 1e-3 * loss));
    return wrong < 0 && losses.length > 9 ? [] : [`loss ${wrong}: ${found[wrong]} for ${losses[wrong]}`];
}

function missingPictures() {
    return [...document.images].filter((image) => !image.naturalWidth).map((image) => image.src.slice(-60));
}

/** @param {import("playwright-core").Page} page */
async function accessibility(page) {
    await page.evaluate(AXE);
    const rules = { runOnly: RULES, resultTypes: ["violations"] };
    // @ts-expect-error `axe` is in the page
    const found = await page.evaluate((rules) => axe.run(document, rules), rules);
    return found.violations.map(
        (/** @type {any} */ { id, nodes }) => `${id}, ${nodes.length} times, such as ${nodes[0].html.slice(0, 120)}`,
    );
}
