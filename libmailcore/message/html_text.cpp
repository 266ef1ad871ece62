#include "message/html_text.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/strings.h"

namespace mail::message {

namespace {

struct Entity {
  std::string_view name;
  char32_t code;
};
// Those that mail programs write; sorted.
constexpr std::array kEntities{
    Entity{"AElig", 0xC6},   Entity{"Aacute", 0xC1},  Entity{"Agrave", 0xC0},  Entity{"Aring", 0xC5},
    Entity{"Auml", 0xC4},    Entity{"Ccedil", 0xC7},  Entity{"Eacute", 0xC9},  Entity{"Egrave", 0xC8},
    Entity{"Oslash", 0xD8},  Entity{"Ouml", 0xD6},    Entity{"Uuml", 0xDC},    Entity{"aacute", 0xE1},
    Entity{"acirc", 0xE2},   Entity{"aelig", 0xE6},   Entity{"agrave", 0xE0},  Entity{"amp", '&'},
    Entity{"apos", '\''},    Entity{"aring", 0xE5},   Entity{"auml", 0xE4},    Entity{"bull", 0x2022},
    Entity{"ccedil", 0xE7},  Entity{"cent", 0xA2},    Entity{"copy", 0xA9},    Entity{"deg", 0xB0},
    Entity{"eacute", 0xE9},  Entity{"ecirc", 0xEA},   Entity{"egrave", 0xE8},  Entity{"euml", 0xEB},
    Entity{"euro", 0x20AC},  Entity{"frac12", 0xBD},  Entity{"gt", '>'},       Entity{"hellip", 0x2026},
    Entity{"iacute", 0xED},  Entity{"icirc", 0xEE},   Entity{"iuml", 0xEF},    Entity{"laquo", 0xAB},
    Entity{"larr", 0x2190},  Entity{"ldquo", 0x201C}, Entity{"lsquo", 0x2018}, Entity{"lt", '<'},
    Entity{"mdash", 0x2014}, Entity{"middot", 0xB7},  Entity{"nbsp", ' '},     Entity{"ndash", 0x2013},
    Entity{"ntilde", 0xF1},  Entity{"oacute", 0xF3},  Entity{"ocirc", 0xF4},   Entity{"oslash", 0xF8},
    Entity{"ouml", 0xF6},    Entity{"para", 0xB6},    Entity{"pound", 0xA3},   Entity{"quot", '"'},
    Entity{"raquo", 0xBB},   Entity{"rarr", 0x2192},  Entity{"rdquo", 0x201D}, Entity{"reg", 0xAE},
    Entity{"rsquo", 0x2019}, Entity{"sect", 0xA7},    Entity{"shy", 0xAD},     Entity{"szlig", 0xDF},
    Entity{"times", 0xD7},   Entity{"trade", 0x2122}, Entity{"uacute", 0xFA},  Entity{"ugrave", 0xF9},
    Entity{"uuml", 0xFC},    Entity{"yen", 0xA5},     Entity{"zwnj", 0x200C},
};
static_assert(std::ranges::is_sorted(kEntities, {}, &Entity::name));

/// The character of the reference at the start of `text` ("&amp;"), its octets in `octets`; 0 where there is none.
char32_t reference(std::string_view text, std::size_t& octets) {
  const auto head = text.substr(0, 12);
  auto end = head.find(';');
  if (end == std::string_view::npos || end < 2) return 0;
  const auto name = head.substr(1, end - 1);
  octets = end + 1;
  if (name.front() == '#') {
    const bool hex = name.size() > 2 && ascii_lower(name[1]) == 'x';
    const auto digits = name.substr(hex ? 2 : 1);
    unsigned value = 0;
    const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, hex ? 16 : 10);
    if (error != std::errc{} || stop != digits.data() + digits.size()) return 0;
    return value == 0xA0 ? ' ' : value < 0x20 && value != '\n' && value != '\t' ? 0xFFFD : value;
  }
  const auto* found = std::ranges::lower_bound(kEntities, name, {}, &Entity::name);
  return found != kEntities.end() && found->name == name ? found->code : 0;
}

void append_character(std::string& to, char32_t c) {
  if (c == 0xAD || c == 0x200C || c == 0x200B || c == 0xFEFF) return;  // seen by nobody
  append_utf8(to, c);
}

class HtmlReader {
 public:
  HtmlReader(std::string_view html, HtmlTextOptions options) : rest_(html), options_(options) {}

  std::string run() {
    while (!rest_.empty()) {
      if (rest_.front() == '<' && tag()) continue;
      if (rest_.front() == '&') {
        std::size_t octets = 0;
        if (const auto c = reference(rest_, octets)) {
          rest_.remove_prefix(octets);
          if (c == '\n' && preformatted_ > 0) {
            out_ += options_.line_breaks ? '\n' : ' ';
          } else if (c <= ' ') {  // "&#10;" is a blank as any other
            space();
          } else {
            std::string text;
            append_character(text, c);
            word(text);
          }
          continue;
        }
      }
      text();
    }
    close_link();
    while (!out_.empty() && is_white(static_cast<unsigned char>(out_.back()))) out_.pop_back();
    if (options_.line_breaks && !out_.empty()) out_ += '\n';
    return std::move(out_);
  }

 private:
  void text() {
    const auto end = std::min(rest_.find_first_of("<&", 1), rest_.size());
    auto run = rest_.substr(0, end);
    rest_.remove_prefix(end);
    if (preformatted_ > 0) {
      for (const char c : run) {
        if (c == '\n') {
          out_ += options_.line_breaks ? '\n' : ' ';
        } else if (c != '\r') {
          pending_space_ = false;
          out_ += c;
        }
      }
      return;
    }
    while (!run.empty()) {
      std::size_t length = 0;
      while (length < run.size() && !is_white(static_cast<unsigned char>(run[length])) && run[length] != '\f') ++length;
      if (length > 0) word(run.substr(0, length));
      if (length < run.size()) space(), ++length;
      run.remove_prefix(length);
    }
  }

  void space() { pending_space_ = true; }
  void word(std::string_view text) {
    if (pending_space_ && !out_.empty() && !out_.ends_with('\n') && !out_.ends_with(' ')) out_ += ' ';
    pending_space_ = false;
    if (out_.empty() || out_.ends_with('\n')) out_ += prefix_;
    out_ += text;
  }
  /// At least `count` line ends (one: a new line; two: a paragraph).
  void lines(std::size_t count) {
    pending_space_ = false;
    if (!options_.line_breaks) {
      space();
      return;
    }
    while (out_.ends_with(' ')) out_.pop_back();
    if (out_.empty()) return;
    std::size_t there = 0;
    while (there < out_.size() && there < count && out_[out_.size() - 1 - there] == '\n') ++there;
    out_.append(count - there, '\n');
  }

  /// True where a tag or comment was taken.
  bool tag() {
    if (rest_.starts_with("<!--")) {
      const auto end = rest_.find("-->", 4);
      if (end != std::string_view::npos) {
        rest_.remove_prefix(end + 3);
        return true;
      }
      rest_ = {};  // never closed: what browsers hide
      return true;
    }
    if (rest_.size() < 2 ||
        !(is_alpha(static_cast<unsigned char>(rest_[1])) || rest_[1] == '/' || rest_[1] == '!' || rest_[1] == '?'))
      return false;
    std::size_t end = 1;
    char quote = 0;
    for (; end < rest_.size(); ++end) {
      const char c = rest_[end];
      if (quote != 0) {
        if (c == quote) quote = 0;
      } else if (c == '>') {
        break;
      } else if ((c == '"' || c == '\'') && rest_[end - 1] == '=') {
        quote = c;
      }
    }
    if (end == rest_.size()) {  // not closed: nothing but this tag is left
      rest_ = {};
      return true;
    }
    auto inside = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    const bool closing = inside.starts_with('/');
    if (closing) inside.remove_prefix(1);
    std::size_t length = 0;
    while (length < inside.size() && is_alnum(static_cast<unsigned char>(inside[length]))) ++length;
    on_tag(to_lower(inside.substr(0, std::min<std::size_t>(length, 16))), closing, inside.substr(length));
    return true;
  }

  void on_tag(const std::string& name, bool closing, std::string_view attributes) {
    static constexpr std::array<std::string_view, 7> kHidden{"script",   "style",    "head", "title",
                                                             "template", "noscript", "svg"};
    static constexpr std::array<std::string_view, 10> kParagraphs{"p",  "h1", "h2", "h3", "h4",
                                                                  "h5", "h6", "ul", "ol", "table"};
    static constexpr std::array<std::string_view, 12> kLines{"div", "tr", "section", "article", "header",  "footer",
                                                             "dt",  "dd", "center",  "form",    "caption", "address"};
    if (std::ranges::find(kHidden, name) != kHidden.end()) {
      if (!closing) skip_to_end_of(name);
    } else if (name == "br") {
      if (options_.line_breaks) {
        while (out_.ends_with(' ')) out_.pop_back();
        pending_space_ = false;
        out_ += '\n';
      } else {
        space();
      }
    } else if (std::ranges::find(kParagraphs, name) != kParagraphs.end()) {
      lines(2);
    } else if (std::ranges::find(kLines, name) != kLines.end()) {
      lines(1);
    } else if (name == "li") {
      lines(1);
      if (!closing && options_.line_breaks) word("*"), space();
    } else if (name == "td" || name == "th") {
      space();
    } else if (name == "hr") {
      lines(1);
      if (options_.line_breaks) word("----"), lines(1);
    } else if (name == "pre") {
      lines(1);
      if (closing && preformatted_ > 0) --preformatted_;
      if (!closing) ++preformatted_;
    } else if (name == "blockquote") {
      lines(2);
      constexpr std::size_t kMostQuoting = 10;
      if (closing && !prefix_.empty()) prefix_.resize(prefix_.size() - 2);
      if (!closing && options_.line_breaks && prefix_.size() < 2 * kMostQuoting) prefix_ += "> ";
    } else if (name == "a") {
      close_link();
      if (!closing) link_ = attribute(attributes, "href"), link_text_ = out_.size();
    } else if (name == "img") {
      if (const auto alternative = attribute(attributes, "alt"); !alternative.empty()) word(alternative);
    }
  }

  void skip_to_end_of(std::string_view name) {
    // Looked for in vain once: not looked for again, or a million unclosed titles would take a million times as long.
    auto& never = name == "head" ? head_never_closed_ : title_never_closed_;
    const bool may_lack = name == "head" || name == "title";
    if (may_lack && never) return;
    // The next "</name"; found by looking at each "</" once.
    std::size_t at = 0;
    for (;;) {
      at = rest_.find("</", at);
      if (at == std::string_view::npos) break;
      if (istarts_with(rest_.substr(at + 2), name)) {
        const auto end = rest_.find('>', at);
        rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
        return;
      }
      at += 2;
    }
    // Never closed. For a head the body follows anyway; a script or style hides the rest.
    if (may_lack)
      never = true;
    else
      rest_ = {};
  }

  static std::string attribute(std::string_view attributes, std::string_view wanted) {
    const auto at = ifind(attributes, concat({wanted, "="}));
    if (at == std::string_view::npos) return {};
    auto value = attributes.substr(at + wanted.size() + 1);
    if (!value.empty() && (value.front() == '"' || value.front() == '\'')) {
      value = value.substr(1, value.find(value.front(), 1) - 1);
    } else {
      value = value.substr(0, value.find_first_of(" \t\r\n>"));
    }
    std::string out;
    for (std::size_t i = 0; i < value.size();) {
      std::size_t octets = 0;
      const auto c = value[i] == '&' ? reference(value.substr(i), octets) : 0;
      if (c != 0) {
        append_character(out, std::max<char32_t>(c, ' '));
        i += octets;
      } else {
        if (static_cast<unsigned char>(value[i]) >= 0x20) out += value[i];
        ++i;
      }
    }
    return out;
  }

  void close_link() {
    const auto link = std::move(link_);
    link_.clear();
    constexpr std::size_t kLongestLink = 4000;  // for people to read; and looking for it in the text costs its length
    if (!options_.links || link.empty() || link.size() > kLongestLink) return;
    if (!istarts_with(link, "http:") && !istarts_with(link, "https:") && !istarts_with(link, "mailto:") &&
        !istarts_with(link, "ftp:"))
      return;
    const auto shown = trim(std::string_view(out_).substr(std::min(link_text_, out_.size())));
    if (shown.empty() || shown.find(link) != std::string_view::npos || link.ends_with(shown)) return;
    out_ += concat({" <", link, ">"});
  }

  std::string_view rest_;
  HtmlTextOptions options_;
  std::string out_;
  std::string prefix_;  // of quoted lines
  std::string link_;
  std::size_t link_text_ = 0;
  int preformatted_ = 0;
  bool head_never_closed_ = false, title_never_closed_ = false;
  bool pending_space_ = false;
};

}  // namespace

std::string html_to_text(std::string_view html, HtmlTextOptions options) { return HtmlReader(html, options).run(); }

}  // namespace mail::message
