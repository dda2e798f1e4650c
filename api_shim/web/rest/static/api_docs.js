// Shows the OpenAPI document. A typed key is not stored, and no other server is contacted.
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
