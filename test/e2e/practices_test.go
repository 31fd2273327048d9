package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"
	"github.com/maitred/maitred/test/harness"
)

// looksOf is a function of the page: what tools that judge pages ask of it, as a list of what is wrong.
const looksOf = `async () => {
	const wrong = [];
	const want = (good, what) => good || wrong.push(what);
	const head = (selector, attribute = "content") => document.head.querySelector(selector)?.getAttribute(attribute) ?? "";
	want(document.compatMode === "CSS1Compat", "no doctype");
	want(document.characterSet === "UTF-8", "characters are " + document.characterSet);
	want(/^(en|zh)/.test(document.documentElement.lang), "lang is " + document.documentElement.lang);
	want(document.title.length > 3, "the title is " + document.title);
	want(head("meta[name=description]").length > 20 || head("meta[name=robots]").includes("noindex"), "no description");
	want(/width=device-width/.test(head("meta[name=viewport]")) && !/maximum-scale|user-scalable/.test(head("meta[name=viewport]")), "viewport is " + head("meta[name=viewport]"));
	want(head("meta[name=theme-color]"), "no theme colour");
	want(head("link[rel=icon]", "href"), "no icon");
	want(document.querySelectorAll("h1").length === 1, document.querySelectorAll("h1").length + " h1");
	want(document.querySelectorAll("main").length === 1, document.querySelectorAll("main").length + " main");
	for (const image of document.querySelectorAll("img[src]")) {
		const size = getComputedStyle(image);
		want(image.hasAttribute("alt"), "no alt: " + image.outerHTML);
		want(image.width > 0 && image.height > 0 && (image.hasAttribute("width") || size.aspectRatio !== "auto" || size.width !== "auto"), "no size: " + image.outerHTML);
	}
	for (const link of document.querySelectorAll("a[target=_blank]")) want(link.origin === location.origin || link.relList.contains("noopener"), "no noopener: " + link.outerHTML);
	for (const field of document.querySelectorAll("input[type=password]")) want(!field.onpaste, "no paste: " + field.id);
	const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
	want(new Set(ids).size === ids.length, "twice: " + ids.filter((id, i) => ids.indexOf(id) !== i));
	for (const { name } of performance.getEntriesByType("resource").filter(({ name }) => name.endsWith(".js"))) {
		const source = await (await fetch(name)).text();
		for (const bad of ["document.write", "innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "new Function", "'unload'"]) want(!source.includes(bad), name + " has " + bad);
	}
	const manifest = head("link[rel=manifest]", "href");
	if (manifest) await checkManifest(new URL(manifest, location.href));
	return wrong;

	async function checkManifest(url) {
		const answer = await fetch(url);
		want(answer.ok && answer.headers.get("content-type").startsWith("application/manifest+json"), "the manifest is " + answer.status + " " + answer.headers.get("content-type"));
		const it = await answer.json();
		want(it.name && it.short_name && it.start_url && it.display === "standalone" && it.theme_color && it.background_color, "the manifest is incomplete");
		want(new URL(it.start_url, url).origin === location.origin, "it starts at " + it.start_url);
		const sizes = it.icons.flatMap(({ sizes }) => sizes.split(" "));
		want(sizes.includes("any") || sizes.includes("192x192") && sizes.includes("512x512"), "icons of " + sizes);
		for (const { src, sizes, type } of it.icons) {
			const image = new Image();
			image.src = new URL(src, url).href;
			await image.decode().catch(() => want(false, "no icon at " + src));
			want(sizes === "any" || sizes === image.naturalWidth + "x" + image.naturalHeight, src + " is " + image.naturalWidth + "x" + image.naturalHeight);
			const { headers } = await fetch(image.src);
			want(headers.get("content-type") === type, src + " is " + headers.get("content-type"));
		}
	}
}`

// TestPractices asks of every page what tools that judge pages ask: its head, its pictures, its manifest, its headers, and that neither the
// console nor the browser's own audits complain.
func TestPractices(t *testing.T) {
	d := harness.Start(t)
	b := startBrowser(t, headlessShell)
	for path, ready := range map[string]string{"/": joinable, "/r/tea": joinable, "/check": `document.documentElement.dataset.phase === "measuring"`} {
		t.Run(path, func(t *testing.T) {
			p := b.open("page", "about:blank")
			var issues harness.Transcript
			if err := chromedp.Listen(p.ctx, func(event any) {
				if it, ok := event.(*audits.EventIssueAdded); ok {
					details, err := json.Marshal(it.Issue.Details)
					issues.Add(fmt.Sprint(it.Issue.Code, ": ", string(details), err))
				}
			}); err != nil {
				t.Fatal(err)
			}
			devtools(p, audits.Enable, cdp.Empty{})
			p.do("open "+path, chromedp.Navigate(d.Page(path)))
			p.waitFor(15*time.Second, ready)
			for _, wrong := range value[[]string](p, `(`+looksOf+`)()`) {
				t.Error(wrong)
			}
			for _, issue := range issues.Lines() {
				t.Errorf("the browser complains: %s", issue)
			}
			for _, line := range p.console.Lines() {
				t.Errorf("the console shows %s", line)
			}
			checkHeaders(t, d.Page(path))
		})
	}
}

// checkHeaders looks at those that protect a page.
func checkHeaders(t *testing.T, url string) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	policy := strings.Split(answer.Header.Get("Content-Security-Policy"), "; ")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"} {
		if !slices.Contains(policy, want) {
			t.Errorf("Content-Security-Policy has no %q: %q", want, policy)
		}
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin"} {
		if got := answer.Header.Get(name); got != want {
			t.Errorf("%s is %q: want %q", name, got, want)
		}
	}
}
