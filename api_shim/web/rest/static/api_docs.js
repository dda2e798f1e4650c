// Shows the document of our API. The key that somebody types is kept nowhere, and nothing is asked of anybody else.
window.SwaggerUIBundle({
  dom_id: "#api",
  url: "/api/schema/",
  validatorUrl: null,
  persistAuthorization: false,
  withCredentials: false,
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  tagsSorter: "alpha",
});
