// A link from `birdwatchd web --link` carries the token behind its #: browsers send that part to nobody.
const form = document.getElementById("login");
const token = new URLSearchParams(location.hash.slice(1)).get("token");

// Sent by script and not as a form: to an address in the local network browsers say where a script's request comes from, and not a form's.
async function enter(event) {
  event?.preventDefault();
  const answer = await fetch("/login", { method: "POST", body: new URLSearchParams(new FormData(form)) });
  if (answer.ok) {
    location.replace(form.elements.to.value);
  } else {
    form.submit(); // the server says on its page what is wrong
  }
}
form.addEventListener("submit", enter);
if (token) {
  history.replaceState(null, "", location.pathname + location.search);
  form.elements.token.value = token;
  enter();
}
