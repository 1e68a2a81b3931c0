// Colour looks: cards like those of the styles. The one in use is pressed; pressing it again takes it away.

const nameOf = (look) => look.charAt(0).toUpperCase() + look.slice(1).replaceAll("_", " ");

function makeCard(look, thumbnails, choose) {
  const card = document.createElement("button");
  card.type = "button";
  card.className = "style";
  card.dataset.look = look;
  card.title = look;
  const art = document.createElement("span");
  art.className = "art";
  if (thumbnails.includes(`look/${look}`)) {
    const picture = document.createElement("img");
    picture.src = `/thumbnails/look/${encodeURIComponent(look)}`;
    picture.alt = "";
    art.append(picture);
  }
  const name = document.createElement("span");
  name.className = "name";
  name.textContent = nameOf(look);
  card.append(art, name);
  card.addEventListener("click", (event) => {
    choose(event, card.getAttribute("aria-pressed") === "true" ? "look off" : `look ${look}`);
  });
  return card;
}

let shown = "";

/** Show the looks of a state; `choose(event, command)` hears clicks. */
export function showLooks({ looks = [], thumbnails = [], controls }, choose) {
  const list = document.getElementById("looks");
  if (looks.join("\n") !== shown) {
    list.replaceChildren(...looks.map((look) => makeCard(look, thumbnails, choose)));
    document.getElementById("looks-section").hidden = !looks.length;
    shown = looks.join("\n");
  }
  for (const card of list.children) {
    const isOn = card.dataset.look === controls.look;
    card.setAttribute("aria-pressed", String(isOn));
    card.style.setProperty("--weight", isOn ? "1" : "0");
  }
}
