// The filters of the photos page: a choice that cannot be together with another takes it back; empty ones stay out of the address.
const form = document.querySelector("form.filters");
const { species, by, which } = form.elements;

for (const one of [species, by]) {
  one.addEventListener("change", () => { if (one.value) which.value = "named"; });
}
which.addEventListener("change", () => {
  if (which.value !== "named") species.value = by.value = "";
});
form.addEventListener("submit", () => {
  for (const field of form.querySelectorAll("select, input")) field.disabled = field.value === "";
});
addEventListener("pageshow", () => {
  for (const field of form.querySelectorAll("select, input")) field.disabled = false;
});
