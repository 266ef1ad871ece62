#include "milter/header_list.h"

#include <algorithm>

#include "base/strings.h"
#include "message/header.h"

namespace mail::milter {
namespace {

template <class What>
HeaderList::Field made(const What& change) {
  return {change.name, concat({change.name, change.spaced ? ":" : ": ", change.value, "\r\n"}), false};
}

std::vector<HeaderList::Field> parsed(std::string_view header) {
  std::vector<HeaderList::Field> fields;
  for (const auto& field : message::HeaderFields(header)) {
    auto& added = fields.emplace_back(HeaderList::Field{std::string(field.name), std::string(field.raw), false});
    if (!added.text.ends_with('\n')) added.text += "\r\n";
  }
  return fields;
}

}  // namespace

std::string_view HeaderList::Field::value() const {
  auto value = std::string_view(text).substr(std::min(text.size(), text.find(':') + 1));
  if (value.ends_with('\n')) value.remove_suffix(1);
  if (value.ends_with('\r')) value.remove_suffix(1);
  return value;
}

HeaderList::HeaderList(std::string_view header) : ended_(header == "\r\n" || header.ends_with("\r\n\r\n")) {
  auto fields = parsed(header);
  fields_.insert(fields_.end(), std::make_move_iterator(fields.begin()), std::make_move_iterator(fields.end()));
}

void HeaderList::add(const AddHeader& change) { fields_.push_back(made(change)); }

void HeaderList::insert(const InsertHeader& change) {
  const auto at = std::min<std::size_t>(change.index, fields_.size());
  fields_.insert(fields_.begin() + static_cast<std::ptrdiff_t>(at), made(change));
}

void HeaderList::change(const ChangeHeader& change) {
  std::uint32_t seen = 0;
  const auto found = std::ranges::find_if(fields_, [&](const Field& field) {
    return !field.received && iequals(field.name, change.name) && ++seen == std::max<std::uint32_t>(change.index, 1);
  });
  if (found == fields_.end()) {
    if (!change.value.empty()) fields_.push_back(made(change));
  } else if (change.value.empty()) {
    fields_.erase(found);
  } else {
    *found = made(change);
  }
}

void HeaderList::prepend(std::string_view fields) {
  auto more = parsed(fields);
  const auto received = std::ranges::find(fields_, true, &Field::received);
  fields_.insert(std::next(received), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

std::string HeaderList::text(std::string_view received, bool ended) const {
  std::string out;
  for (const auto& field : fields_) out += field.received ? received : std::string_view(field.text);
  if (ended_ || ended) out += "\r\n";
  return out;
}

}  // namespace mail::milter
