"""What pages of several test modules know."""

EMOTION_API = """
async () => {
  const { EmotionAPI } = await import('/web/onnx_emotion_api.js');
  window.run = '/models/mobilenetv3_classifier/runs/finetune_K7_160/';
  window.makeApi = (more) => new EmotionAPI({
    modelUrl: run + 'k7_mnv3s_160.onnx', classesUrl: run + 'classes.json', provider: 'wasm', ...more });
  window.picture = async (url) => { const img = new Image(); img.src = url; await img.decode(); return img; };
  window.boxOf = (box) => box && { x: box[0], y: box[1], width: box[2], height: box[3] };
  window.codeOf = async (make) => { try { await make(); } catch (error) {
    return [error.constructor.name, error.code, error.message]; } return ['', 'no error', '']; };
}
"""
