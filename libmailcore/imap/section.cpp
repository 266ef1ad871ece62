#include "imap/section.h"

#include "base/strings.h"
#include "imap/response.h"

namespace mail::imap {
namespace {

auto syntax(const char* text) { return fail(Error::Kind::syntax, text); }

Result<std::vector<std::string>> take_field_names(Arguments& arguments) {
  MAIL_CHECK(arguments.space());
  MAIL_CHECK(arguments.open());
  std::vector<std::string> fields;
  do {
    MAIL_TRY(name, arguments.astring());
    if (fields.size() == kMostHeaderFields) return syntax("Too many header fields");
    fields.push_back(std::move(name));
  } while (arguments.take(' '));
  MAIL_CHECK(arguments.close());
  return fields;
}

}  // namespace

Result<Section> take_section(Arguments& arguments) {
  Section section;
  while (is_digit(static_cast<unsigned char>(arguments.peek() < 0 ? 0 : arguments.peek()))) {
    MAIL_TRY(number, arguments.nz_number());
    if (section.part.size() == kMostPartLevels) return syntax("Section is too deep");
    section.part.push_back(number);
    if (arguments.take(']')) return section;
    if (!arguments.take('.')) return syntax("Invalid section");
  }
  if (arguments.peek() == ']') {
    if (!section.part.empty()) return syntax("Invalid section");
  } else if (arguments.take_word("HEADER.FIELDS.NOT")) {
    section.what = Section::Text::header_fields_not;
  } else if (arguments.take_word("HEADER.FIELDS")) {
    section.what = Section::Text::header_fields;
  } else if (arguments.take_word("HEADER")) {
    section.what = Section::Text::header;
  } else if (arguments.take_word("TEXT")) {
    section.what = Section::Text::text;
  } else if (!section.part.empty() && arguments.take_word("MIME")) {
    section.what = Section::Text::mime;
  } else {
    return syntax("Invalid section");
  }
  if (section.what == Section::Text::header_fields || section.what == Section::Text::header_fields_not) {
    MAIL_TRY(fields, take_field_names(arguments));
    section.fields = std::move(fields);
  }
  if (!arguments.take(']')) return syntax("] expected");
  return section;
}

std::string Section::text() const {
  std::string out;
  for (const auto number : part) {
    if (!out.empty()) out += '.';
    append_decimal(out, number);
  }
  constexpr std::string_view names[]{"", "HEADER", "HEADER.FIELDS", "HEADER.FIELDS.NOT", "TEXT", "MIME"};
  const auto name = names[static_cast<std::size_t>(what)];
  if (!out.empty() && !name.empty()) out += '.';
  out += name;
  if (fields.empty()) return out;
  out += " (";
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (i > 0) out += ' ';
    append_astring(out, fields[i]);
  }
  out += ')';
  return out;
}

Result<FetchAttribute> take_fetch_attribute(Arguments& arguments) {
  FetchAttribute attribute;
  const auto name =
      arguments.cursor().take_while([](unsigned char c) { return is_alnum(c) || c == '.' || c == '-' || c == '_'; });
  if (name.empty()) return syntax("FETCH attribute expected");
  attribute.name = to_upper(name);
  if (arguments.take('[')) {
    MAIL_TRY(section, take_section(arguments));
    attribute.section = std::move(section);
    if (arguments.take('<')) {
      Partial partial;
      MAIL_TRY(offset, arguments.number64());
      if (!arguments.take('.')) return syntax("Invalid partial");
      MAIL_TRY(octets, arguments.number64());
      if (octets == 0 || !arguments.take('>')) return syntax("Invalid partial");
      partial = {offset, octets};
      attribute.partial = partial;
    }
    return attribute;
  }
  const auto here = arguments.offset();
  if (attribute.name == "PREVIEW" && arguments.take(' ')) {  // RFC 8970: `PREVIEW (LAZY)`
    if (arguments.peek() != '(') {
      arguments.rewind(here);
    } else {
      MAIL_TRY(modifiers, arguments.atom_list());
      attribute.modifiers = std::move(modifiers);
    }
  }
  return attribute;
}

Result<std::vector<FetchAttribute>> take_fetch_attributes(Arguments& arguments) {
  const auto named = [](std::initializer_list<const char*> names) {
    std::vector<FetchAttribute> attributes;
    for (const auto* name : names) attributes.push_back({name, {}, {}, {}});
    return attributes;
  };
  if (!arguments.take('(')) {
    MAIL_TRY(attribute, take_fetch_attribute(arguments));
    if (attribute.name == "ALL") return named({"FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"});
    if (attribute.name == "FAST") return named({"FLAGS", "INTERNALDATE", "RFC822.SIZE"});
    if (attribute.name == "FULL") return named({"FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY"});
    return std::vector<FetchAttribute>{std::move(attribute)};
  }
  std::vector<FetchAttribute> attributes;
  do {
    MAIL_TRY(attribute, take_fetch_attribute(arguments));
    if (attributes.size() == kMostFetchAttributes) return syntax("Too many FETCH attributes");
    attributes.push_back(std::move(attribute));
  } while (arguments.take(' '));
  MAIL_CHECK(arguments.close());
  return attributes;
}

}  // namespace mail::imap
