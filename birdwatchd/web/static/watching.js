// For pages that only want the line about what is new: <script type="module" src="/static/watching.js">.
import { watch } from "./news.js";

const newest = document.querySelector("[data-newest-photo]")?.dataset.newestPhoto;
watch({}, { newestPhoto: newest === undefined ? null : Number(newest) });
