#include "store/server_notes.h"

#include <algorithm>

#include "store/text_file.h"

namespace mail::store {

Result<Notes> ServerNotes::all() {
  if (!file_.kept()) return Notes();
  std::lock_guard lock(mutex_);
  MAIL_TRY(text, file_.changed_text());
  if (text) notes_ = parse_properties(*text);
  return notes_;
}

Status ServerNotes::change(const std::function<bool(Notes&)>& change) {
  if (!file_.kept()) return fail(Error::Kind::refused, "nothing is kept of the server");
  std::vector<std::string> changed;
  std::vector<std::shared_ptr<Listener>> listeners;
  {
    std::lock_guard lock(mutex_);
    Notes notes;
    MAIL_CHECK(file_.change([&](std::string_view text) -> std::optional<std::string> {
      notes = notes_ = parse_properties(text);
      if (!change(notes)) notes = notes_;
      return notes == notes_ ? std::nullopt : std::optional(format_properties(notes));
    }));
    for (const auto& [entry, value] : notes)
      if (const auto was = notes_.find(entry); was == notes_.end() || was->second != value) changed.push_back(entry);
    for (const auto& [entry, value] : notes_)
      if (!notes.contains(entry)) changed.push_back(entry);
    notes_ = std::move(notes);
    std::erase_if(listeners_, [](const auto& listener) { return listener.expired(); });
    for (const auto& listener : listeners_)
      if (auto there = listener.lock()) listeners.push_back(std::move(there));
  }
  for (const auto& entry : changed)
    for (const auto& listener : listeners) (*listener)(entry);
  return {};
}

std::shared_ptr<void> ServerNotes::on_change(Listener told) {
  auto listener = std::make_shared<Listener>(std::move(told));
  std::lock_guard lock(mutex_);
  listeners_.push_back(listener);
  return listener;
}

}  // namespace mail::store
