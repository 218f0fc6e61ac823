// Times of a page in the reader's own zone: the server writes them in UTC.

for (const time of document.querySelectorAll("time[datetime]")) {
  const format = { dateStyle: "medium", timeStyle: "medium" };
  time.textContent = new Date(time.dateTime).toLocaleString(document.documentElement.lang, format);
}
