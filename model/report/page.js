"use strict";
const gallery = document.getElementById("gallery");
const cards = Array.from(gallery.children);
const [order, flag, find, count, clear] = ["order", "flag", "find", "count", "clear"].map((id) => document.getElementById(id));
const texts = new Map(); // of each card, read when something is first looked for
const orders = {
  worst: (a, b) => a.dataset.cider - b.dataset.cider,
  best: (a, b) => b.dataset.cider - a.dataset.cider,
  unsure: (a, b) => a.dataset.score - b.dataset.score,
  name: (a, b) => a.dataset.name.localeCompare(b.dataset.name, undefined, { numeric: true }),
};
let chosen = null; // the column or the shared caption that was pressed

function text(card) {
  if (!texts.has(card)) texts.set(card, `${card.dataset.name} ${card.querySelector(".text").textContent}`.toLowerCase());
  return texts.get(card);
}

function passes(card) {
  const wanted = find.value.trim().toLowerCase();
  if (flag.value && !card.dataset.flags.split(" ").includes(flag.value)) return false;
  if (wanted && !text(card).includes(wanted)) return false;
  if (chosen && chosen.dataset.caption !== undefined)
    return card.querySelector(".caption").textContent === chosen.dataset.caption;
  return !chosen || (card.dataset.cider >= Number(chosen.dataset.from) && card.dataset.cider < Number(chosen.dataset.to));
}

function arrange() {
  const shown = cards.filter(passes).sort(orders[order.value]);
  if (shown.length !== gallery.childElementCount || shown.some((card, at) => card !== gallery.children[at]))
    gallery.replaceChildren(...shown);
  count.value = shown.length === cards.length ? `${cards.length} photos` : `${shown.length} of ${cards.length} photos`;
  clear.hidden = shown.length === cards.length;
}

function choose(button) {
  if (chosen) chosen.removeAttribute("aria-pressed");
  chosen = button === chosen ? null : button;
  if (chosen) chosen.setAttribute("aria-pressed", "true");
  document.querySelector(".columns").classList.toggle("chosen", Boolean(chosen && chosen.dataset.from));
  arrange();
}

// A veil over the photo, thinner where the word looked more: 7x7 cells, smoothed as they are enlarged.
const cells = document.createElement("canvas");
cells.width = cells.height = 7;

function veil(canvas, look) {
  const image = cells.getContext("2d").createImageData(7, 7);
  for (let cell = 0; cell < 49; cell++) image.data[4 * cell + 3] = 205 * (1 - (parseInt(look[cell], 36) / 35) ** 0.8);
  cells.getContext("2d").putImageData(image, 0, 0);
  canvas.width = canvas.height = 112;
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(cells, 0, 0, 112, 112);
  canvas.classList.add("on");
}

function point(event) {
  const word = event.target.closest(".word[data-look]");
  if (word) veil(word.closest(".card").querySelector(".photo canvas"), word.dataset.look);
}

function leave(event) {
  if (event.target.closest(".word")) event.target.closest(".card").querySelector(".photo canvas").classList.remove("on");
}

function strip(card) {
  return Array.from(card.querySelectorAll(".word[data-look]"), (word) => {
    const figure = document.createElement("figure");
    const pane = figure.appendChild(document.createElement("div"));
    pane.className = "pane";
    pane.append(card.querySelector(".photo img").cloneNode(), card.querySelector(".photo canvas").cloneNode());
    veil(pane.lastChild, word.dataset.look);
    figure.appendChild(document.createElement("figcaption")).textContent = word.textContent;
    return figure;
  });
}

function open(card) {
  const panel = card.querySelector(".strip");
  if (!panel.firstChild) panel.append(...strip(card));
  panel.hidden = !card.classList.toggle("open");
  card.querySelector(".photo").setAttribute("aria-expanded", String(!panel.hidden));
  card.scrollIntoView({ block: "nearest" });
}

document.getElementById("controls").hidden = false;
document.getElementById("controls").addEventListener("submit", (event) => event.preventDefault());
for (const control of [order, flag, find]) control.addEventListener("input", arrange);
clear.addEventListener("click", () => {
  flag.value = find.value = "";
  if (chosen) choose(chosen);
  else arrange();
});
for (const button of document.querySelectorAll(".column, .often")) button.addEventListener("click", () => choose(button));
gallery.addEventListener("pointerover", point);
gallery.addEventListener("pointerout", leave);
gallery.addEventListener("focusin", point);
gallery.addEventListener("focusout", leave);
gallery.addEventListener("click", (event) => {
  const photo = event.target.closest(".photo");
  if (photo) open(photo.closest(".card"));
});
arrange();
