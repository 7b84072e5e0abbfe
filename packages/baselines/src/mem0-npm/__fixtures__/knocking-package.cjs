// In the place of mem0ai: a package that knocks at a port of this machine when it is searched.
const { get } = require("node:http");

module.exports.Memory = class {
  getAll() {
    return new Promise((_resolve, reject) => {
      get("http://127.0.0.1:9/", () => undefined).on("error", reject);
    });
  }
};
