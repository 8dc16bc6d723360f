// CenterNet in TensorFlow.js itself, on the CPU; imports nothing of ours.
// Usage: node tfjs_reference.mjs MODULES GRAPH WEIGHTS PIXELS… writes PIXELS.json, 100 rows of 6, for files of 512×512×3 bytes.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const [modules, graph, weights, ...photos] = process.argv.slice(2);
const tf = createRequire(`${modules}/`)("@tensorflow/tfjs");
const SIDE = 512;

const bytes = (path) => {
  const content = readFileSync(path);
  return content.buffer.slice(content.byteOffset, content.byteOffset + content.length);
};

const { modelTopology, weightsManifest, signature } = JSON.parse(readFileSync(graph, "utf8"));
const weightSpecs = weightsManifest.flatMap((group) => group.weights);
const artifacts = { modelTopology, signature, weightSpecs, weightData: bytes(weights) };

await tf.setBackend("cpu");
const model = await tf.loadGraphModel({ load: async () => artifacts });
for (const photo of photos) {
  const image = tf.tensor(new Float32Array(new Uint8Array(bytes(photo))), [1, SIDE, SIDE, 3]);
  const [rows] = model.execute(image, ["tower_0/detections"]).arraySync();
  writeFileSync(`${photo}.json`, JSON.stringify(rows));
}
