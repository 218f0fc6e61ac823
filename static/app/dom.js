// What every part of the app needs: elements, the page's data, and storage that never throws.

export const byId = (id) => document.getElementById(id);

export const data = JSON.parse(byId("data").textContent);

export function element(tag, { className = "", text = "" } = {}, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

// Private windows may refuse storage: the app then forgets, and works until it is closed.
const memory = new Map();

export const store = {
  get(name) {
    try {
      return localStorage.getItem(`liverelay.${name}`) ?? memory.get(name) ?? "";
    } catch {
      return memory.get(name) ?? "";
    }
  },
  set(name, value) {
    memory.set(name, value);
    try {
      localStorage.setItem(`liverelay.${name}`, value);
    } catch {
      // kept in memory
    }
  },
  remove(name) {
    memory.delete(name);
    try {
      localStorage.removeItem(`liverelay.${name}`);
    } catch {
      // kept in memory only
    }
  },
};
