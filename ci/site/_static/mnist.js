// The sample of MNIST that ships with the repository: `dldnaMnistFiles`, which `cargo site` writes behind this, has its files.
// @ts-check

/** @returns {Promise<Record<"train" | "test", { pixels: Uint8Array, labels: Uint8Array }>>} */
// biome-ignore lint/correctness/noUnusedVariables: the pages' scripts use it
async function dldnaMnist() {
    // Behind its sizes, an IDX file has one byte after the other.
    const values = async (/** @type {keyof typeof dldnaMnistFiles} */ name, /** @type {number} */ header) => (await explorable.unpacked(dldnaMnistFiles[name])).subarray(header);
    const part = async (/** @type {"train" | "t10k"} */ name) => ({
        pixels: await values(`${name}-images-idx3`, 16),
        labels: await values(`${name}-labels-idx1`, 8),
    });
    return { train: await part("train"), test: await part("t10k") };
}
