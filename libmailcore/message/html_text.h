// HTML as plain text, for people at terminals, searches and replies. Nothing is ever fetched; scripts and styles are
// dropped.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace mail::message {

struct HtmlTextOptions {
  bool links = true;  ///< " <https://…>" after a link whose text is not its address.
  bool line_breaks =
      true;  ///< Paragraphs, rows and list items on lines of their own; else everything on one line (search).
};

/// `html` is UTF-8. Linear in time; the output is at most six times as long (quoted lines, each with its marks).
std::string html_to_text(std::string_view html, HtmlTextOptions options = {});

}  // namespace mail::message
